"""What an operator changes afterwards: dead letters, offsets."""
