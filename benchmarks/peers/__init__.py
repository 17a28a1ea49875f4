"""What others would run instead of `sesacctl consume`."""
