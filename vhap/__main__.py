"""`python -m vhap`: the same as the command `vhap`."""

from vhap.cli import main

if __name__ == "__main__":
    main()
