#!/usr/bin/env python3
"""The example `directory` in all its roles. usage: directory.py DIRECTORY-OF-THE-PROGRAMS"""

import re
import subprocess
import sys
import threading

PATIENCE = 60
program = sys.argv[1] + "/directory"


def expect(stream, pattern):
    """The next line that matches; the end of the output is a failure."""
    for line in stream:
        match = re.search(pattern, line)
        if match:
            return match
    sys.exit(f"no line /{pattern}/")


def client(seed, *words, status=0):
    result = subprocess.run([program, "--seeds", seed, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            text=True, timeout=PATIENCE)
    if result.returncode != status:
        sys.exit(f"{words}: status {result.returncode}, not {status}: {result.stdout}")
    return result.stdout


def holds(what, text):
    if what not in text:
        sys.exit(f"{what!r} is not in {text!r}")


server = subprocess.Popen([program, "--name", "shop", "serve", "clock", "weather"], stdout=subprocess.PIPE, text=True)
watchdog = threading.Timer(PATIENCE, server.kill)  # ends every wait for a line of it
watchdog.start()
try:
    seed = expect(server.stdout, r"is open at (\S+)").group(1)
    expect(server.stdout, 'serves "weather"')
    holds("answer: CLOCK SAYS: WHAT TIME?", client(seed, "ask", "clock", "what time?"))
    holds("answer: WEATHER SAYS: ", client(seed, "ask", "weather", ""))
    holds('"weather" is shop/', client(seed, "lookup", "weather"))
    listed = client(seed, "--wait", "2000", "list")
    holds("clock shop/", listed)
    holds("weather shop/", listed)
    if "clock" in client(seed, "--wait", "2000", "list", "we"):
        sys.exit("a prefix lists other names")
    holds('nobody serves "tea"', client(seed, "--wait", "2000", "lookup", "tea", status=3))
    holds('refused: "clock" is held by shop/', client(seed, "serve", "tea", "clock", status=3))
    holds("usage:", client(seed, "serve", status=2))
    server.terminate()
    if server.wait(PATIENCE) != 0:
        sys.exit("the server did not leave in order")
finally:
    watchdog.cancel()
    if server.poll() is None:
        server.kill()
        server.wait()
print("all held")
