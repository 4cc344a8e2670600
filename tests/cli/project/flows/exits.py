raise SystemExit("no key\x1b[31m")
