"""Plan, cutouts, bank and stamps in an object store: the same bytes, whatever the store does."""

import pytest
from s3fs import S3FileSystem

from darkhaloscope.cli import run
from darkhaloscope.config import Inject
from darkhaloscope.io import cache
from darkhaloscope.io.bank import open_bank
from darkhaloscope.io.files import at
from darkhaloscope.io.parts import RECORD, digest_of_parts
from darkhaloscope.jobs.engine import Local
from darkhaloscope.jobs.inject import inject_all
from darkhaloscope.jobs.plan import plan
from flow import PLAN
from s3 import BUCKET, Faults, bucket, download, failing, upload


@pytest.fixture(scope="module")
def store(inputs):
    """The inputs in a bucket."""
    with bucket() as client:
        for name in ("cutouts", "bank.h5", "plan"):
            upload(client, inputs / name, name)
        yield client


@pytest.fixture(autouse=True)
def fresh_host(tmp_path, monkeypatch):
    """A host that has fetched nothing yet."""
    monkeypatch.setenv(cache.FOLDER, str(tmp_path / "cache"))
    forget()
    yield
    forget()


def forget() -> None:
    S3FileSystem.clear_instance_cache()  # an instance keeps the address that it began with
    open_bank.cache_clear()
    cache.on_this_host.cache_clear()


def place(name: str):
    return at(f"s3://{BUCKET}/{name}")


def _inject(out: str, processes: int = 1) -> None:
    inject_all(
        place(out),
        place("plan"),
        place("cutouts"),
        place("bank.h5"),
        Inject(),
        Local(processes),
    )


def _same(client, key, folder, other) -> None:
    download(client, key, folder)
    assert digest_of_parts(folder) == digest_of_parts(other)
    assert (folder / RECORD).read_bytes() == (other / RECORD).read_bytes()


def test_a_failing_store_costs_nothing_but_time(store, inputs, stamps, tmp_path):
    faults = Faults(rate=0.25)
    with failing(faults):
        forget()
        plan(place("made/plan"), place("cutouts"), place("bank.h5"), PLAN)
        _inject("made/stamps")
    assert min(faults.met[name] for name in ("500", "503", "slow", "cut")) >= 2, faults.met
    _same(store, "made/plan", tmp_path / "plan", inputs / "plan")
    _same(store, "made/stamps", tmp_path / "stamps", stamps)


def test_a_run_in_a_store_goes_on_where_it_was(store, stamps, tmp_path):
    _inject("begun/stamps")
    for key in (RECORD, "part-00003.parquet"):
        store.delete_object(Bucket=BUCKET, Key=f"begun/stamps/{key}")
    store.put_object(Bucket=BUCKET, Key="begun/stamps/part-00001.parquet", Body=b"PAR1 half")
    before = store.head_object(Bucket=BUCKET, Key="begun/stamps/part-00002.parquet")
    _inject("begun/stamps")
    after = store.head_object(Bucket=BUCKET, Key="begun/stamps/part-00002.parquet")
    assert after["LastModified"] == before["LastModified"]
    _same(store, "begun/stamps", tmp_path / "stamps", stamps)


def test_the_processes_of_a_host_fetch_the_bank_once(store, stamps, tmp_path):
    faults = Faults(rate=0)
    with failing(faults):
        forget()
        _inject("shared/stamps", processes=2)
    assert faults.asked[f"GET /{BUCKET}/bank.h5"] <= 2  # the driver looks at what is there
    _same(store, "shared/stamps", tmp_path / "stamps", stamps)


def _words(out: str, **other) -> list[str]:
    places = {"plan": "plan", "cutouts": "cutouts", "bank": "bank.h5", "out": out} | other
    return ["inject", *(w for k, v in places.items() for w in (f"--{k}", f"s3://{BUCKET}/{v}"))]


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"bank": "none.h5"}, "none.h5: cannot be fetched"),
        ({"bank": "half.h5"}, "is damaged or no HDF5"),
        ({"bank": "altered.h5"}, "the plan was not made from"),
        ({"plan": "nothing"}, "holds no finished plan"),
        ({"cutouts": "nothing"}, "holds no finished cutout store"),
        ({"cutouts": "lacking"}, "lacks part-00000.parquet (1 of 1 files)"),
    ],
)
def test_inputs_that_are_not_there_or_damaged_end_the_job_before_work(
    store, inputs, other, said, capfd
):
    data = (inputs / "bank.h5").read_bytes()
    store.put_object(Bucket=BUCKET, Key="half.h5", Body=data[: len(data) // 2])
    altered = data[:-9] + bytes([data[-9] ^ 1]) + data[-8:]
    store.put_object(Bucket=BUCKET, Key="altered.h5", Body=altered)
    upload(store, inputs / "cutouts" / RECORD, f"lacking/{RECORD}")
    assert run(_words("refused", **other)) == 2
    heard = " ".join(capfd.readouterr().err.split())
    assert said in heard, heard
    assert "Traceback" not in heard
    assert "Contents" not in store.list_objects_v2(Bucket=BUCKET, Prefix="refused")


def test_a_store_that_does_not_answer_is_a_sentence(store, monkeypatch, capfd):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setattr("darkhaloscope.io.files._TRIES", 1)
    assert run(_words("refused")) == 2
    assert "Traceback" not in capfd.readouterr().err
