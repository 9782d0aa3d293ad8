# SPDX-License-Identifier: GPL-2.0-or-later
"""What a campaign compares with the accounts of its workers: each planted violation is found."""
import os

import campaign_work
import pytest
from campaign_work import BLOCK, DISK_BLOCKS, KINDS, Account, Verifier, Worker, Wrong, reset, stamp

CALLS = 30


class Play:
    """Workers of two nodes, on a folder that is no volume; one call after the other."""

    def __init__(self, path):
        self.accounts, self.volume = str(path / "accounts"), str(path / "volume")
        os.mkdir(self.accounts)
        os.mkdir(self.volume)
        reset(self.accounts, self.volume)
        with open(f"{self.volume}/disk", "wb") as f:
            f.truncate(DISK_BLOCKS * BLOCK)
        self.root = os.open(self.volume, os.O_RDONLY)
        self.workers = {(node, kind): self.worker(node, kind) for node in (0, 1) for kind in KINDS}

    def worker(self, node, kind):
        w = Worker(kind, self.accounts, self.volume, f"n{node + 1}", node, "1")
        w.who = f"n{node + 1}.1.1"
        w.account, w.root, w.fds = Account(self.accounts, w.who, kind), self.root, {}
        return w

    def work(self, calls=CALLS):
        for _ in range(calls):
            for w in self.workers.values():
                getattr(w, w.kind)()

    def wrong(self):
        return Verifier(self.accounts, self.volume).run()

    def path(self, name):
        return f"{self.volume}/{name}"

    def lines(self, who, kind):
        with open(f"{self.accounts}/{who}.{kind}", encoding="ascii") as f:
            return f.read().splitlines(keepends=True)

    def rewrite(self, who, kind, lines):
        with open(f"{self.accounts}/{who}.{kind}", "w", encoding="ascii") as f:
            f.writelines(lines)

    def change(self, name, change):
        with open(self.path(name), "rb") as f:
            data = change(f.read())
        with open(self.path(name), "wb") as f:
            f.write(data)


@pytest.fixture
def play(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda fd: None)       # nothing crashes here
    p = Play(tmp_path)
    p.work()
    yield p
    for w in p.workers.values():
        for fd in w.fds.values():
            os.close(fd)
    os.close(p.root)


def test_what_was_done_is_right(play):
    assert play.wrong() == []
    with open(f"{play.accounts}/blocks.before", encoding="ascii") as f:
        assert f.read() == "{}"


@pytest.mark.parametrize("kind", KINDS)
def test_a_call_under_way_may_have_happened_or_not(play, kind):
    """Each kind's last answer is struck out: what it did is there all the same."""
    lines = play.lines("n1.1.1", kind)
    assert lines[-1].startswith("<")
    play.rewrite("n1.1.1", kind, lines[:-1])
    assert play.wrong() == []


@pytest.mark.parametrize("change,word", [
    (lambda d: b"".join(d.splitlines(keepends=True)[1:]), "is lost"),
    (lambda d: d + d.splitlines(keepends=True)[-1], "is there twice"),
    (lambda d: d + b"n9.1.1 1 x\n", "nobody wrote"),
    (lambda d: d.splitlines(keepends=True)[-2] + d, "after"),
    (lambda d: d.replace(b"xx\n", b"xy\n", 1), "nobody wrote"),
])
def test_appends(play, change, word):
    play.change("log", change)
    assert any(word in w for w in play.wrong()), play.wrong()


def test_names(play):
    kept = sorted(os.listdir(play.path("names")))[0]
    os.rename(play.path(f"names/{kept}"), play.path("names/away"))
    assert any("kept: []" in w for w in play.wrong()) and any("nobody" in w for w in play.wrong())
    os.rename(play.path("names/away"), play.path(f"names/{kept}"))
    play.change(f"names/{kept}", lambda d: d[:-1])
    assert any("not what was written" in w for w in play.wrong())


def test_a_name_that_two_have_made(play):
    # Of each name one has made it and the other has lost, whoever that was.
    who, lines, at = next((w, lines, i) for w in ("n1.1.1", "n2.1.1")
                          for lines in [play.lines(w, "names")]
                          for i, line in enumerate(lines) if line.endswith(" lost\n"))
    play.rewrite(who, "names", lines[:at] + [lines[at].replace("lost", "won")] + lines[at + 1:])
    assert any("made by ['n1.1.1', 'n2.1.1']" in w for w in play.wrong()), play.wrong()


def test_counters(play):
    play.change("count.posix", lambda d: b"%015d\n" % (int(d) - 1))
    assert any("count.posix" in w and "were counted" in w for w in play.wrong())
    play.change("count.posix", lambda d: b"%015d\n" % (int(d) + 1))
    lines = play.lines("n1.1.1", "count")
    mine = [i for i, line in enumerate(lines) if line.startswith("<")]
    lines[mine[0]] = lines[mine[1]].replace(lines[mine[1]].split()[1], lines[mine[0]].split()[1], 1)
    play.rewrite("n1.1.1", "count", lines)
    kinds = [lines[i - 1].split()[2] for i in mine[:2]]
    assert any("by two" in w for w in play.wrong()) == (kinds[0] == kinds[1]) or play.wrong()


@pytest.mark.parametrize("block,word", [
    (lambda number, seq: bytes(BLOCK), "has 0"),
    (lambda number, seq: stamp(number, seq - 1, "n1.1.1"), "was answered"),
    (lambda number, seq: stamp(number + 1, seq, "n1.1.1"), "is another"),
    (lambda number, seq: stamp(number, seq, "n1.1.1")[:512] + bytes(BLOCK - 512), "torn"),
])
def test_blocks(play, block, word):
    number, seq = map(int, play.lines("n1.1.1", "blocks")[-2].split()[2:])
    data = block(number, seq)
    play.change("disk", lambda d: d[:number * BLOCK] + data + d[(number + 1) * BLOCK:])
    assert any(word in w for w in play.wrong()), play.wrong()


def test_a_block_whose_write_was_under_way_may_be_torn_and_no_other(play):
    lines = play.lines("n1.1.1", "blocks")
    number, seq = map(int, lines[-2].split()[2:])
    torn = stamp(number, seq, "n1.1.1")[:512] + bytes(BLOCK - 512)
    play.change("disk", lambda d: d[:number * BLOCK] + torn + d[(number + 1) * BLOCK:])
    assert play.wrong()
    play.rewrite("n1.1.1", "blocks", lines[:-1])
    assert play.wrong() == []


def test_rough_files(play):
    name = min(n for n in os.listdir(play.path("rough")) if n.startswith("n1."))
    play.change(f"rough/{name}", lambda d: d[:5000] + bytes([d[5000] ^ 1]) + d[5001:])
    assert any("not as written from 5000" in w for w in play.wrong()), play.wrong()
    os.rename(play.path(f"rough/{name}"), play.path("rough/n1.1.1.other"))
    assert any("rough: [" in w for w in play.wrong())


def test_a_worker_says_what_it_reads_wrongly(play):
    w = play.workers[0, "blocks"]
    number = min(w.mine)
    with pytest.raises(Wrong, match="went back|was written"):
        w.look_at(number, stamp(number, 1, "n1.1.1"))
    with pytest.raises(Wrong, match="torn"):
        w.look_at(number, b"x" * BLOCK)


def test_a_call_without_an_answer_is_the_last_one(play):
    lines = play.lines("n1.1.1", "append")
    play.rewrite("n1.1.1", "append", lines[:1] + lines[2:])
    assert any("without an answer" in w for w in play.wrong())


def test_a_sector_is_old_or_new():
    old, new = b"a" * 1024, b"b" * 1024
    assert campaign_work.mixed(old[:512] + new[512:], old, new)
    assert not campaign_work.mixed(old[:100] + new[100:], old, new)
