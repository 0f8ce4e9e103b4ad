"""`tidegate` on a machine whose clock somebody sets while it runs: `python -m tests.flows.shifted_clock COMMAND ...`.

The file that SHIFTED_CLOCK names is a simulator.nucleus.faults.Clock.
"""

import sys

from simulator.nucleus.shifted import sitecustomize  # before anything of ours, or of a library's, has taken the clock

if __name__ == "__main__":
    assert sitecustomize
    import tidegate

    sys.exit(tidegate.main(sys.argv[1:]))
