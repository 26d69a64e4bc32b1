"""Put the settings of one side into whatever site this process sets up. Python imports this when it starts.

The tests of a package bring settings of their own, by a module or by ``settings.configure()``. Here both ways lead
through ``changed()``, so that nothing in the package's tests is touched. What was used is counted, and noted when the
process ends: a run that never met the engine that it is about proves nothing.
"""

import os

if os.environ.get("SRVSESSION_ECOSYSTEM_SIDE"):
    import putting_in

    putting_in.install()
