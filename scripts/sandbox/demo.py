"""The demonstration: simulated plant → agent ⇄ reference platform, on this machine alone.

``scripts/demo`` makes the environment and calls this. Standard library only: what is shown is what the
installed agent does, seen through its command line, its local API and the platform's API.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import re
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from string import Template

from scripts.sandbox.demo_remote import Administrator
from scripts.sandbox.demo_summary import ROOT, Place, Summary, command, commands, diagnosis, get, gongfu_edge, text
from scripts.sandbox.plant.cnc import MACHINING_S
from scripts.sandbox.plant.press import NOMINAL_CYCLE_S
from scripts.sandbox.processes import Failed, Processes, free_port

TEMPLATE = Path(__file__).with_name("demo.toml")
POLL_S = 0.5
SEED = 279
"""A lively history: within a minute at the usual speed two micro-stops, a fault and some scrap."""
WHILE_IT_RUNS = {
    "status": "the gateway and its devices",
    "read press-1": "the press, once and now",
    "digest preview": "OEE, energy and findings, as they would leave now",
    "ledger --uploads": "every byte that left",
}
AFTERWARDS = {
    "diagnose --from 1h": "OEE, why the machines stood still, idle energy, and what to do about it",
    "digest show 1": "the first digest: what the platform knows",
    "export --from 1h --to now --tag press-1.total": "what never left: the samples",
}
SETTLE_S = 120.0
"""How long the last digests may take to be built and accepted when the time is up."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demonstration; 0 only if all that it shows came about (or it was ended by Ctrl-C)."""
    parser = argparse.ArgumentParser(prog="scripts/demo", description="Simulated plant → agent → reference platform.")
    parser.add_argument("--for", dest="duration", type=seconds, metavar="60s", help="end after so long with a summary")
    parser.add_argument("--speed", type=float, default=5.0, help="how many times as fast as real the plant runs")
    parser.add_argument("--period", type=seconds, default=10.0, metavar="10s", help="period of a digest")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGHUP, _interrupt)
    with ExitStack() as stack:
        try:
            run = stack.enter_context(_run_folder(ROOT / ".demo"))
            demo = Demo(options, run, stack.enter_context(Processes(run)))
            demo.start()
            return demo.follow()
        except Failed as error:
            print(f"demo: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("\ndemo: ended; nothing of it is left running")
            return 0 if options.duration is None else 130


def seconds(text: str) -> float:
    """``60s``, ``5m`` or ``1h`` in seconds."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(s|m|h)?", text)
    if not found:
        raise argparse.ArgumentTypeError(f'"{text}" is not a duration such as 60s or 5m')
    return float(found[1]) * {"s": 1, "m": 60, "h": 3600}[found[2] or "s"]


def configuration(values: Mapping[str, object]) -> str:
    """The agent's configuration for DATA, PLATFORM, CONSOLE, PERIOD, TRUST, MODBUS, OPCUA, SERIAL and both CYCLEs."""
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(values)


class Demo:
    """One demonstration in a folder of its own."""

    def __init__(self, options: argparse.Namespace, run: Path, processes: Processes) -> None:
        self._options = options
        self._run = run
        self._processes = processes
        # Demonstrations started at the same moment begin their search at different ports.
        shift = 10 * int(run.name.partition("-")[2] or 0)
        self._platform = f"http://127.0.0.1:{free_port(8480 + shift)}"
        self._console = f"127.0.0.1:{free_port(8470 + shift)}"
        self._modbus = free_port(5020 + shift)
        self._opcua = free_port(4850 + shift)
        self._truth = Tail(run / "truth.jsonl")
        self._agent_log = Tail(run / "agent.log")
        self._digests = 0
        self._place = Place(run, self._platform, f"http://{self._console}")
        self._administrator = Administrator(self._place, processes, self._modbus, _tell)

    def start(self) -> None:
        """Start plant, platform and agent, one after the other, and say where they are."""
        run, ready = self._run, self._processes.wait_for
        serial = run / "compressor.tty"
        python = [sys.executable, "-m"]
        plant = ["--tcp-port", str(self._modbus), "--rtu-link", str(serial), "--truth", str(run / "truth.jsonl")]
        plant += ["--opcua-port", str(self._opcua)]
        plant += ["--speed", str(self._options.speed), "--seed", str(SEED)]
        self._processes.start("plant", [*python, "scripts.sandbox.plant", *plant], cwd=ROOT)
        self._administrator.make_key()
        port = self._platform.rpartition(":")[2]
        data = ["--data", str(run / "platform")]
        self._processes.start("platform", [*python, "scripts.sandbox.platform", "--port", port, *data], cwd=ROOT)
        ready("the plant", lambda: "units 1 and 2" in text(run / "plant.log"))
        ready("the platform", lambda: get(f"{self._platform}/api/v1/gateways") is not None)
        self._administrator.pin_key(run / "platform")
        values = {"DATA": run / "data", "PLATFORM": f"{self._platform}/api/v1", "CONSOLE": self._console}
        values |= {"PERIOD": f"{self._options.period:g}s", "MODBUS": self._modbus, "SERIAL": serial}
        values |= {"OPCUA": self._opcua, "TRUST": run / "admins.jwks"}
        # Seconds of the plant pass faster than those of the clock by which the agent measures.
        cycles = {"PRESS_CYCLE": NOMINAL_CYCLE_S, "CNC_CYCLE": MACHINING_S}
        values |= {name: f"{cycle / self._options.speed:g}s" for name, cycle in cycles.items()}
        (run / "config.toml").write_text(configuration(values), encoding="utf-8")
        token = command([*python, "scripts.sandbox.platform", "token", *data], cwd=ROOT).split()[-1]
        print(self._place.agent("enroll", "--url", f"{self._platform}/api/v1", "--token", token).strip())
        self._processes.start("agent", [*gongfu_edge(), "run", "--config", str(run / "config.toml")], cwd=run)
        ready("the agent", lambda: get(f"http://{self._console}/healthz") is not None)
        self._say_where()

    def follow(self) -> int:
        """Tell what happens, until the time is up (then 0 or 1 by the summary) or Ctrl-C."""
        end = None if self._options.duration is None else time.monotonic() + self._options.duration
        while end is None or time.monotonic() < end or not self._administrator.done:
            self._tell_news()
            self._processes.check()
            time.sleep(POLL_S)
        print(f"{self._options.duration:g} s are over; waiting for the last digest …")
        return self._summary()

    def _say_where(self) -> None:
        speed, period = f"{self._options.speed:g}", f"{self._options.period:g} s"
        print(f"""
  platform       {self._platform}/      what arrives there, and whether it could be verified
                 {self._platform}/fleet what each gateway shall run, what it runs, and why
  local console  http://{self._console}/      the agent's own page
  logs, data     {self._run.relative_to(ROOT)}/

  A press and its meter (Modbus TCP), a compressor (Modbus RTU on a pseudo-terminal) and a machining centre
  (OPC UA) run {speed} times as fast as real. The agent reads them, keeps what it read, and reports a signed
  digest every {period}.
  Only the digest leaves; the samples stay here. In a moment an administrator sends it a good revision of
  its configuration, then one with a wrong register.{"" if self._options.duration else "  Ctrl-C ends it."}

  Look at this, in another terminal in this folder:
{commands(self._place, WHILE_IT_RUNS)}
""")

    def _tell_news(self) -> None:
        for line in self._truth.lines():
            record = json.loads(line)
            if record["event"] == "state" and record["why"] != "cycle":
                _tell("plant", f"{record['equipment']}: {record['why']}")
        for line in self._agent_log.lines():
            if re.search(r"\b(WARNING|ERROR|CRITICAL)\b", line):
                _tell("agent", line)
        self._administrator.go_on()
        report = self._place.report()
        if report["digests"] > self._digests:
            self._digests = report["digests"]
            proof = "all verified" if report["ok"] else "; ".join(report["failures"])
            _tell("platform", f"digest {report['head']['seq']} received: {self._digests} in the chain, {proof}")

    def _summary(self) -> int:
        """Let the last digests arrive, stop the agent, and tell what came of it."""
        end = time.monotonic() + SETTLE_S
        while time.monotonic() < end and (not self._digests or self._waiting_digests()):
            self._tell_news()
            self._processes.check()
            time.sleep(POLL_S)
        built = json.loads(self._place.agent("status", "--json"))["digests"]["built"]
        self._processes.stop("agent")
        summary = Summary.gather(self._place, built)
        remote = self._administrator.outcome
        print(f"{summary.text()}{remote.text()}\n{diagnosis(self._place)}")
        print(f"  What the plant's owner asks; the data is still there:\n{commands(self._place, AFTERWARDS)}\n")
        good = summary.good and remote.good
        done = "demo: digests were accepted and verified, a good revision applied and a bad one refused"
        print(done if good else f"demo: FAILED → logs: {self._run}")
        return 0 if good else 1

    def _waiting_digests(self) -> int:
        return int(self._place.status().get("digests", {}).get("pending", 0))


class Tail:
    """The complete lines that were added to a file since one looked last."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._at = 0

    def lines(self) -> list[str]:
        """New lines; none while the file does not exist."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._at)
                data = file.read()
        except FileNotFoundError:
            return []
        complete = data[: data.rfind(b"\n") + 1]
        self._at += len(complete)
        return complete.decode(errors="replace").splitlines()


@contextmanager
def _run_folder(base: Path) -> Iterator[Path]:
    """``.demo/run``, empty; ``.demo/run-2`` and so on while other demonstrations run."""
    base.mkdir(exist_ok=True)
    for number in range(1, 100):
        folder = base / ("run" if number == 1 else f"run-{number}")
        # Only whoever has the lock touches the folder: another may be making it at this very moment.
        with (base / f"{folder.name}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            yield folder
            return
    raise Failed("a hundred demonstrations run already → end one")


def _tell(who: str, what: str) -> None:
    print(f"  {time.strftime('%H:%M:%S')}  {who:<10}{what}", flush=True)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
