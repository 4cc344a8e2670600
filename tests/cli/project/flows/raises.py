raise RuntimeError("no key\x1b[31m\nstatus     done")
