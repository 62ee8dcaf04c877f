"""Files, folders and archives; hostile ones do no harm and the rest goes on."""

import gzip
import io
import os
import tarfile
import zipfile

import pytest
from load_files import tarred, zipped

from fhirserver.load import streams
from fhirserver.load.items import items
from fhirserver.load.report import Refusal
from fhirserver.load.sources import find, size_of, sources
from fhirserver.load.streams import Meter

BODY = b'{"resourceType":"Patient","id":"a"}\n'


def read(*paths):
    """Name -> body, or the reason of the refusal; names without the folder."""
    found = {}
    for source in sources(paths, Meter()):
        name = source.source if isinstance(source, Refusal) else source.name
        name = name.rpartition("/")[2] if "!" not in name else name.partition("!")[2]
        try:
            body = source.reason if isinstance(source, Refusal) else source.stream.read()
        except streams.Unusable as error:
            body = f"unusable: {error}"
        found[name] = body
    return found


@pytest.fixture
def file(tmp_path):
    def write(name, body):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_bytes(body)
        return path

    return write


@pytest.mark.parametrize(
    ("name", "packed"),
    [
        ("a.json", BODY),
        ("a.json.gz", gzip.compress(BODY, mtime=0)),
        ("misnamed.json", gzip.compress(BODY, mtime=0)),
    ],
)
def test_file_is_read_packed_or_not(file, name, packed):
    assert list(read(file(name, packed)).values()) == [BODY]


def test_lines_before_the_end_of_a_truncated_file_are_read(file):
    lines = b"".join(b'{"resourceType":"Patient","id":"%d"}\n' % n for n in range(500))
    packed = gzip.compress(lines, mtime=0)
    path = file("a.ndjson.gz", packed[: len(packed) * 3 // 4])
    found = [item for source in sources([path], Meter()) for item in items(source)]
    assert len(found) > 100
    assert all(item.data in lines for item in found[:-1])
    assert "end-of-stream" in found[-1].reason


def test_folder_with_links_to_nothing_and_pipes_is_read(file, tmp_path):
    good = file("in/good.json", BODY)
    (tmp_path / "in" / "broken.json").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "in" / "pipe.json")
    (tmp_path / "in" / "sub").mkdir()
    (tmp_path / "in" / "sub" / "loop").symlink_to(tmp_path / "in")
    files = list(find([tmp_path / "in"]))
    assert [path.name for path in files] == ["broken.json", "good.json"]
    assert size_of(files) == good.stat().st_size
    assert read(*files) == {
        "good.json": BODY,
        "broken.json": "cannot be read: No such file or directory",
    }


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_members_of_a_tar_are_read(file, mode):
    path = file("a.tar.gz", tarred({"x/a.json": BODY, "b.ndjson.gz": gzip.compress(BODY)}, mode))
    assert read(path) == {"x/a.json": BODY, "b.ndjson.gz": BODY}


def test_members_of_a_zip_are_read_also_within_a_tar(file):
    inner = zipped({"a.json": BODY, "README.md": b"no data", "c/d.ndjson": BODY})
    assert read(file("a.zip", inner)) == {"a.json": BODY, "c/d.ndjson": BODY}
    outer = file("b.tar", tarred({"in.zip": inner}, "w"))
    assert read(outer) == {"in.zip!a.json": BODY, "in.zip!c/d.ndjson": BODY}


def test_folder_is_read_in_the_order_of_names_without_hidden_and_foreign_files(file, tmp_path):
    for name in ("b/2.json", "b/1.json", "a.ndjson", ".hidden.json", ".git/x.json", "notes.txt"):
        file(name, BODY)
    names = [str(path.relative_to(tmp_path)) for path in find([tmp_path])]
    assert names == ["a.ndjson", "b/1.json", "b/2.json"]


def test_file_named_by_the_user_is_read_whatever_it_is_called(file):
    path = file("data.txt", BODY)
    assert list(find([path])) == [path]


@pytest.mark.parametrize("name", ["../e.json", "/etc/e.json", "a/../../e.json", "C:/e.json"])
def test_name_that_points_outside_the_archive_is_refused_and_the_rest_read(file, name):
    for packed in (
        zipped({name: BODY, "good.json": BODY}),
        tarred({name: BODY, "good.json": BODY}),
    ):
        found = read(file("a", packed))
        assert found.pop("good.json") == BODY
        assert list(found.values()) == ["has a name that points outside the archive"]


def test_link_in_a_tar_is_refused(file):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        link = tarfile.TarInfo("shadow.json")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
        device = tarfile.TarInfo("zero.json")
        device.type = tarfile.CHRTYPE
        archive.addfile(device)
    found = read(file("a.tar", buffer.getvalue()))
    assert set(found.values()) == {"is a link or a device, not a file"}


def test_gzip_bomb_is_cut_off(file):
    bomb = io.BytesIO()
    with gzip.GzipFile(fileobj=bomb, mode="wb") as stream:
        for _ in range(300):
            stream.write(b" " * streams.MIB)
    found = read(file("bomb.json.gz", bomb.getvalue()))
    assert "decompression bomb" in found["bomb.json.gz"]


def test_zip_bomb_is_cut_off_and_does_not_hinder_its_neighbour(file):
    found = read(file("bomb.zip", zipped({"bomb.json": b"0" * 100 * streams.MIB, "b.json": BODY})))
    assert "decompression bomb" in found["bomb.json"]
    assert found["b.json"] == BODY


def test_bomb_within_a_packed_bomb_is_cut_off(file):
    bomb = gzip.compress(gzip.compress(b"0" * 200 * streams.MIB))
    (said,) = read(file("bomb.json.gz", bomb)).values()
    assert "decompression bomb" in said


def test_packing_without_end_is_refused(file):
    body = BODY
    for _ in range(5):
        body = gzip.compress(body)
    assert read(file("a.json.gz", body)) == {"a.json.gz": "is packed more than three times over"}


def test_encrypted_zip_member_is_refused(file):
    body = bytearray(zipped({"a.json": BODY}))
    # The flag that says "encrypted", in the member's header and in the directory.
    body[6] |= 1
    body[body.rindex(b"PK\x01\x02") + 8] |= 1
    assert read(file("a.zip", bytes(body))) == {"a.json": "is encrypted"}


def test_damaged_archives_are_refused(file):
    broken_zip = zipped({"a.json": BODY})[:-10]
    broken_tar = tarred({"a.json": BODY * 1000}, "w")[:700]
    for body in (broken_zip, b"PK\x03\x04 nonsense", broken_tar):
        path = file("x", body)
        found = [s for s in sources([path], Meter()) if isinstance(s, Refusal)]
        try:
            for source in sources([path], Meter()):
                if not isinstance(source, Refusal):
                    source.stream.read()
        except (OSError, EOFError, tarfile.TarError, zipfile.BadZipFile):
            continue  # what reads the member (items.py) tells this as a refusal
        assert found


def test_missing_file_is_refused(tmp_path):
    (refusal,) = sources([tmp_path / "no.json"], Meter())
    assert "cannot be read" in refusal.reason


def test_meter_counts_the_bytes_on_disk(file):
    path = file("a.json.gz", gzip.compress(BODY * 1000))
    meter = Meter()
    for source in sources([path], meter):
        source.stream.read()
    assert meter.done == path.stat().st_size
