"""The bootstrap action: what it installs, and that anything wrong ends it with a sentence.

It runs with stand-ins for what only a node has (aws, sudo, dnf), for the packages and for making a
virtual environment; bash, Python and pip are real.
"""

import os
import shutil
import subprocess
import venv
import zipfile
from pathlib import Path

import pytest

import launch

SCRIPT = Path(launch.__file__).with_name("bootstrap.sh")
TOOLS = ["bash", "cat", "cp", "install", "mkdir", "mktemp", "printf", "rm", "tee", "uname"]
AWS = """#!/bin/bash
from=() ; for word; do [[ $word == s3 || $word == cp || $word == --* ]] || from+=("$word"); done
exec cp -r "${from[0]/#s3:\\/\\//$STORE/}" "${from[1]}"
"""
SUDO = '#!/bin/bash\nexec "$@"\n'
NOTHING_HERE = "#!/bin/bash\nexit 1\n"
TORCH = "__version__ = '2.13.0+cpu'\nclass version: cuda = {cuda}\n"
LOCK = "torch==2.13.0\nnumpy==2.4.6\npyarrow==26.0.1\npandas==2.3.3\n"
WORKS = "def main(): print('0.1.0')\n"
BROKEN = "def main(): raise SystemExit('dhs: broken')\n"


def _wheel(folder: Path, name: str, version: str, code: str, entry: str = "") -> None:
    about = f"{name}-{version}.dist-info"
    content = {
        f"{name}/__init__.py": code,
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{about}/entry_points.txt": entry,
        f"{about}/RECORD": "",
    }
    if name == "darkhaloscope":
        needed = "".join(f"Requires-Dist: {other}\n" for other in ("torch", "numpy", "pyarrow"))
        content[f"{about}/METADATA"] += needed
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as file:
        for path, text in content.items():
            file.writestr(path, text)


@pytest.fixture(scope="session")
def environment(tmp_path_factory):
    """A virtual environment, made once: copies of it are as good."""
    folder = tmp_path_factory.mktemp("venv") / "venv"
    venv.create(folder, with_pip=True)
    return folder


@pytest.fixture
def node(tmp_path, environment):
    """A machine with only what a node has, and a store with the lock and wheels."""
    tools, store = tmp_path / "bin", tmp_path / "store" / "b"
    tools.mkdir()
    for tool in TOOLS:
        (tools / tool).symlink_to(shutil.which(tool) or "")
    made = f'#!/bin/bash\n[[ "$1 $2" == "-m venv" ]] && exec cp -r {environment} "$3"\n'
    stand_ins = {"aws": AWS, "sudo": SUDO, "dnf": NOTHING_HERE, "python3.11": made}
    for name, text in stand_ins.items():
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    wheels = store / "wheels"
    _wheel(wheels, "torch", "2.13.0", TORCH.format(cuda=None))
    for name, version in [("numpy", "2.4.6"), ("pyarrow", "26.0.1"), ("pandas", "2.3.3")]:
        _wheel(wheels, name, version, "")
    entry = "[console_scripts]\ndhs = darkhaloscope:main\n"
    _wheel(wheels, "darkhaloscope", "0.1.0", WORKS, entry)
    (store / "requirements.lock").write_text(LOCK)
    return tmp_path


def _bootstrap(node: Path, *more: str, without: str = "") -> subprocess.CompletedProcess:
    words = {
        "--package": "darkhaloscope==0.1.0",
        "--lock": "s3://b/requirements.lock",
        "--wheels": "s3://b/wheels",
        "--home": str(node / "home"),
        "--cache": str(node / "cache"),
        "--profile": str(node / "profile.sh"),
    }
    flags = [word for key, value in words.items() if key != without for word in (key, value)]
    return subprocess.run(
        [shutil.which("bash") or "bash", SCRIPT, *flags, *more],
        env={
            "PATH": str(node / "bin"),
            "STORE": str(node / "store"),
            "PIP_CONFIG_FILE": os.devnull,
            "HOME": str(node),
        },
        capture_output=True,
        text=True,
        check=False,
    )


def _fails(done: subprocess.CompletedProcess, words: str) -> None:
    assert done.returncode == 1
    assert "bootstrap of dhs failed on" in done.stderr
    assert words in done.stderr


def test_a_node_gets_the_package_its_python_and_a_shared_folder(node):
    shutil.copy(node / "store/b/wheels/darkhaloscope-0.1.0-py3-none-any.whl", node / "store/b")
    done = _bootstrap(node, "--package", "s3://b/darkhaloscope-0.1.0-py3-none-any.whl")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "0.1.0\n"
    assert (node / "cache").stat().st_mode & 0o7777 == 0o1777
    assert (node / "profile.sh").read_text().splitlines() == [
        f"export PYSPARK_PYTHON={node}/home/bin/python",
        f"export PYSPARK_DRIVER_PYTHON={node}/home/bin/python",
        f"export DHS_CACHE={node}/cache",
    ]


@pytest.mark.parametrize(
    ("name", "version", "code", "words"),
    [
        ("torch", "2.13.0", TORCH.format(cuda="'12.8'"), "is a build for CUDA 12.8"),
        ("darkhaloscope", "0.1.0", BROKEN, "dhs does not run"),
    ],
)
def test_a_package_that_will_not_do(node, name, version, code, words):
    _wheel(
        node / "store/b/wheels", name, version, code,
        "[console_scripts]\ndhs = darkhaloscope:main\n" if name == "darkhaloscope" else "",
    )  # fmt: skip
    _fails(_bootstrap(node), words)
    assert not (node / "profile.sh").exists()


def test_a_lock_that_nothing_satisfies(node):
    lock = node / "store/b/requirements.lock"
    lock.write_text(LOCK.replace("2.4.6", "2.4.7"))
    _fails(_bootstrap(node), "pip install")


def test_a_node_without_python_asks_dnf(node):
    (node / "bin/python3.11").unlink()
    _fails(_bootstrap(node), "no Python 3.11 here, and dnf has none")


@pytest.mark.parametrize(
    ("more", "without", "words"),
    [
        (["--lock", "s3://b/no.lock"], "", "cannot fetch s3://b/no.lock"),
        (["--package", "s3://b/no.whl"], "", "cannot fetch s3://b/no.whl"),
        (["--wheels", "s3://b/no"], "", "cannot fetch s3://b/no"),
        (["--torch", "cpu"], "", "unknown option --torch"),
        (["--torch-index"], "", "--torch-index needs a value"),
        ([], "--package", "--package is missing"),
    ],
)
def test_words_that_are_wrong(node, more, without, words):
    _fails(_bootstrap(node, *more, without=without), words)
    assert not (node / "home").exists()
