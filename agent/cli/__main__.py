"""``python -m agent.cli`` is ``gongfu-edge``."""

import sys

from agent.cli.main import main

sys.exit(main())
