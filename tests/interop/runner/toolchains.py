"""The foreign toolchains: where they are, that they are new enough, and what is built with them below target/interop."""

import re
import subprocess

from suite import BUILT, ROOT, NotRun, fetch, once, tool

INTEROP = ROOT / "tests" / "interop"
# JVMs on a small machine beside other work: small, and without the optimising compiler.
JAVA_OPTIONS = ["-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]
GO_AT_LEAST = (1, 26)
NODE_AT_LEAST = (18, 0)


def kcat():
    path = ROOT / "target" / "servers" / "bin" / "kcat"
    if not path.exists():
        raise NotRun("kcat is missing: run 'scripts/servers.sh kcat'")
    return path


def kcat_version():
    """Its own and its librdkafka's: the distribution's, so only known once it is there."""
    try:
        said = subprocess.run([kcat(), "-V"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False).stdout
    except NotRun:
        return "?"
    own = re.search(r"Version ([0-9.]+)", said)
    library = re.search(r"librdkafka ([0-9.]+)", said)
    return f"{own.group(1) if own else '?'} (librdkafka {library.group(1) if library else '?'})"


def pinned(file, name, pattern=r"{name}==([0-9a-z.]+)"):
    """A version as a file of ours pins it."""
    found = re.search(pattern.format(name=re.escape(name)), (INTEROP / file).read_text())
    return found.group(1) if found else "?"


def python():
    """The interpreter of a virtual environment with the clients of python/requirements.txt."""
    requirements = INTEROP / "python" / "requirements.txt"

    def build(folder):
        fetch(["python3", "-m", "venv", "--clear", folder])
        fetch([folder / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check", "-r", requirements])

    return once("venv", [requirements], build) / "bin" / "python"


def maven(name):
    """Builds java/NAME; gives the class path."""
    tool(["mvn", "-v"], r"Maven ([0-9.]+)", (3, 6), "scripts/prerequisites.sh maven")
    source = INTEROP / "java" / name

    def build(folder):
        fetch(["nice", "mvn", "-B", "-ntp", "-q", "-f", source / "pom.xml", "clean", "package", f"-DbuildDirectory={folder}"])

    folder = once(f"java-{name}", [source], build)
    return f"{folder}/interop.jar:{folder}/lib/*"


def java_clients():
    return maven("clients")


def java(main, *words, options=()):
    """The start of a command line of one of java/clients' programs, or of a tool's main class."""
    return ["java", *JAVA_OPTIONS, *options, "-cp", java_clients(), main, *words]


def go(name, how="apt-get install golang-go, or a newer Go from your distribution's backports"):
    """Builds the programs of go/NAME; gives the binary."""
    tool(["go", "version"], r"go([0-9.]+)", GO_AT_LEAST, how)
    source = INTEROP / "go" / name

    def build(folder):
        fetch(["nice", "go", "build", "-o", folder / name, "."], cwd=source, GOFLAGS="-mod=readonly", GOTOOLCHAIN="local")

    return once(f"go-{name}", [source], build) / name


def node(name, at_least=NODE_AT_LEAST):
    """Installs what node/NAME/package.json pins; gives the folder."""
    tool(["node", "--version"], r"v([0-9.]+)", at_least, "the distribution's Node is older; install one from nodejs.org")
    source, checks = INTEROP / "node" / name, INTEROP / "node" / "checks.mjs"

    def build(folder):
        for file in [*source.iterdir(), checks]:
            (folder / file.name).write_bytes(file.read_bytes())
        fetch(["nice", "npm", "install", "--no-audit", "--no-fund", "--loglevel=error"], cwd=folder, JOBS="1")

    return once(f"node-{name}", [source, checks], build)


def built(name):
    folder = BUILT / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder
