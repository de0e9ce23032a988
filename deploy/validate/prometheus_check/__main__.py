import sys

from prometheus_check.command import main

sys.exit(main(sys.argv[1:]))
