"""The name that existing scripts call for `vhap nersemble`. From Python, `vhap.nersemble` is the package beside it."""

from vhap.nersemble_dataset import main

if __name__ == "__main__":
    main()
