"""`python -m database.init_db`, as in the seed guide."""

import sys

from sesacctl.database.init_db import main

sys.exit(main())
