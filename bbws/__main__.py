"""`python -m bbws` and the command `bbws`."""

from bbws.cli.app import main

if __name__ == "__main__":
    main()
