import sys

from jaeger_check.command import main

sys.exit(main(sys.argv[1:]))
