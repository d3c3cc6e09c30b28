"""``python -m softloc_cli`` is ``softloc``."""

from softloc_cli.app import main

if __name__ == "__main__":
    main()
