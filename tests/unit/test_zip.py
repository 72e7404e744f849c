"""ZIP archives that are not unpacked: by their directory, and while they come."""

import io
import struct
import zipfile

import numpy as np
import pytest

from landpatch.errors import PermanentError, TransientError
from landpatch.sources.zip_directory import HEADER_BYTES, find_data, read_directory, unpack
from landpatch.sources.zip_stream import read_members

MOST = 10**6
NOISE = np.random.default_rng(7).bytes(300_000)
FILES = {
    "x.SAFE/empty": b"",
    "x.SAFE/text.xml": b"<a>" + b"text " * 40_000 + b"</a>",
    "x.SAFE/noise.jp2": NOISE,
    # Descriptors of other members, and something that begins like one at the very end.
    "x.SAFE/like a descriptor": b"PK\x07\x08" + bytes(20) + NOISE[:5000] + b"PK\x07\x08" * 3 + b"PK\x07",
    "x.SAFE/last": b"z",
}


class Unseekable(io.RawIOBase):
    """What cannot be rewound: sizes and checksums come behind the data."""

    def __init__(self):
        self.data = bytearray()

    def writable(self):
        return True

    def write(self, data, /):
        self.data += data
        return len(data)


def pack(method, streamed, large):
    """An archive as Python writes it. large: with numbers of 8 bytes."""
    target = Unseekable() if streamed else io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as archive:
        for name, content in FILES.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = method
            with archive.open(info, "w", force_zip64=large) as member:
                member.write(content)
    return bytes(target.data) if streamed else target.getvalue()


ARCHIVES = {
    f"{kind}{', streamed' if streamed else ''}{', large' if large else ''}": pack(method, streamed, large)
    for kind, method in (("stored", zipfile.ZIP_STORED), ("deflated", zipfile.ZIP_DEFLATED))
    for streamed in (False, True)
    for large in (False, True)
}


class Pieces:
    """A body that comes in pieces of any size."""

    def __init__(self, data, seed=0):
        self._data = io.BytesIO(data)
        self._random = np.random.default_rng(seed)

    def read(self, size, /):
        return self._data.read(min(size, self._random.choice([1, 3, 100, 10_000, 10**6])))


def take(data, wanted=lambda name: True, most=MOST, seed=0):
    """The members that are taken out of an archive while it comes."""
    sinks = {}

    def choose(name):
        if not wanted(name):
            return None
        sinks[name] = io.BytesIO()
        return sinks[name], most

    names = list(read_members(Pieces(data, seed), choose, MOST, "the archive"))
    assert names == list(sinks)
    return {name: sink.getvalue() for name, sink in sinks.items()}


def look_up(data):
    """All members of an archive by way of its directory."""

    def read(start, length):
        assert 0 <= start <= start + length <= len(data)
        return data[start : start + length]

    found = {}
    for name, member in read_directory(read, len(data), "the archive").items():
        begin = find_data(
            data[member.header : member.header + HEADER_BYTES], member, len(data), "the archive"
        )
        found[name] = unpack(data[begin : begin + member.packed], member, "the archive")
        assert not member.stored or found[name] == data[begin : begin + member.size]
    return found


@pytest.mark.parametrize("kind", ARCHIVES)
def test_every_member_is_found_by_the_directory(kind):
    assert look_up(ARCHIVES[kind]) == FILES


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", ARCHIVES)
def test_every_member_is_taken_out_of_the_stream(kind, seed):
    assert take(ARCHIVES[kind], seed=seed) == FILES


@pytest.mark.parametrize("kind", ARCHIVES)
def test_members_that_nobody_wants_are_passed_over(kind):
    assert take(ARCHIVES[kind], lambda name: name.endswith("last")) == {"x.SAFE/last": b"z"}


@pytest.mark.parametrize("kind", ARCHIVES)
def test_an_archive_that_ends_early_is_never_taken_for_whole(kind):
    data = ARCHIVES[kind]
    end = data.rindex(b"PK\x05\x06")
    for size in (0, 2, 3, 40, len(data) // 2, end - 1, end):
        with pytest.raises(TransientError):
            take(data[:size])


@pytest.mark.parametrize("kind", ARCHIVES)
def test_a_flipped_bit_in_the_data_is_noticed(kind):
    data = bytearray(ARCHIVES[kind])
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        noise = archive.getinfo("x.SAFE/noise.jp2")
    data[noise.header_offset + noise.compress_size // 2] ^= 4
    with pytest.raises((TransientError, PermanentError)):
        take(bytes(data))
    with pytest.raises(TransientError, match="arrived broken"):
        look_up(bytes(data))


@pytest.mark.parametrize("kind", ARCHIVES)
def test_a_member_larger_than_it_may_be_is_refused(kind):
    with pytest.raises(PermanentError, match=r"noise\.jp2' has more than 299999 bytes"):
        take(ARCHIVES[kind], lambda name: name.endswith("jp2"), most=299_999)


def test_a_small_archive_of_a_large_file_is_refused_while_it_is_unpacked():
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb", bytes(50_000_000))
    assert len(bomb.getvalue()) < 100_000
    for wanted in (True, False):
        with pytest.raises(PermanentError, match="has more than"):
            take(bomb.getvalue(), lambda _, wanted=wanted: wanted)


def test_what_is_no_archive_may_be_one_later():
    with pytest.raises(TransientError, match="did not send a ZIP"):
        take(b"<html><body>We are back soon.</body></html>")
    with pytest.raises(PermanentError, match="not a whole ZIP"):
        look_up(b"<html><body>We are back soon.</body></html>")


def test_an_archive_without_files_is_one():
    empty = io.BytesIO()
    zipfile.ZipFile(empty, "w").close()
    assert take(empty.getvalue()) == look_up(empty.getvalue()) == {}


def change(data, offset, form, value):
    """Other numbers in the header of the first member, and in its entry of the directory."""
    changed = bytearray(data)
    struct.pack_into(form, changed, 4 + offset, value)
    struct.pack_into(form, changed, changed.index(b"PK\x01\x02") + 6 + offset, value)
    return bytes(changed)


@pytest.mark.parametrize(("offset", "value"), [(2, 1), (4, 12)], ids=["encrypted", "bzip2"])
def test_another_way_of_packing_is_refused(offset, value):
    data = change(ARCHIVES["stored"], offset, "<H", value)
    for read in (take, look_up):
        with pytest.raises(PermanentError, match="packed in another way"):
            read(data)


def test_a_name_that_is_there_twice_is_refused():
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("a", b"1")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a", b"2")
    with pytest.raises(PermanentError, match="'a' is in the ZIP twice"):
        look_up(data.getvalue())


def test_a_directory_that_claims_to_be_enormous_is_not_read():
    data = ARCHIVES["stored"]
    end = data.rindex(b"PK\x05\x06")
    asked = []

    def read(start, length):
        asked.append(length)
        return data[start - 10**9 : start - 10**9 + length] if start >= 10**9 else bytes(length)

    claim = bytearray(data)
    struct.pack_into("<II", claim, end + 12, 10**9, end)
    data = bytes(claim)
    with pytest.raises(PermanentError, match="directory is larger"):
        read_directory(read, 10**9 + len(data), "the archive")
    assert sum(asked) < 10**6


def test_too_many_files_are_refused(monkeypatch):
    monkeypatch.setattr("landpatch.sources.zip_directory.MAX_FILES", 4)
    monkeypatch.setattr("landpatch.sources.zip_stream.MAX_FILES", 4)
    for read in (take, look_up):
        with pytest.raises(PermanentError, match="more than 4 files"):
            read(ARCHIVES["stored"])


def test_a_member_that_is_not_where_the_directory_says_is_refused():
    data = bytearray(ARCHIVES["stored"])
    entry = data.index(b"PK\x01\x02")
    struct.pack_into("<I", data, entry + 42, 5)
    with pytest.raises(PermanentError, match="no file where the ZIP says"):
        look_up(bytes(data))


def test_a_member_that_ends_behind_the_end_is_refused():
    with zipfile.ZipFile(io.BytesIO(ARCHIVES["stored"])) as archive:
        last = archive.infolist()[-1]
    data = bytearray(ARCHIVES["stored"])
    entry = data.rindex(b"PK\x01\x02")
    struct.pack_into("<II", data, entry + 20, 10**6, 10**6)
    assert last.filename.encode() in data[entry:]
    with pytest.raises(PermanentError, match="behind the end of the ZIP"):
        look_up(bytes(data))
