# SPDX-License-Identifier: GPL-2.0-or-later
"""What a small tree of files is after each of a list of operations, and whether a tree that is
there is that.

Each worker has a folder of its own and does one operation after the other, so at any moment its
tree is the one after the operations that were answered, or after one more. An operation is a dict:
`do`, and the words that apply() takes.
"""
import os
import random
import stat

BLOCK = 4096
SECTOR = 512
DISK_BLOCKS = 256               # of the granted file
NOT_WORDS = ("begin", "ack", "seq", "frame", "reply")       # of an operation
PUNCH, ZERO, KEEP = 2, 0x10, 1  # FALLOC_FL_*: with KEEP the first two


def pattern(tag, length):
    """Bytes that nothing else has."""
    return (b"<%08d>" % tag * (length // 10 + 1))[:length]


def told(op):
    """An operation for people."""
    if not op:
        return "nothing"
    words = [f"{k} {v}" for k, v in op.items() if k not in ("do",) + NOT_WORDS]
    return f"{op['do']} {', '.join(words)} ({op['begin'] / 1e9:.6f} to {op['ack'] / 1e9:.6f})"


class Node:
    """A file, folder or link, whatever its names."""

    def __init__(self, kind, mode=0o777, target=""):
        self.kind, self.mode, self.target = kind, mode, target
        self.data, self.xattrs = b"", {}

    def copy(self):
        new = Node(self.kind, self.mode, self.target)
        new.data, new.xattrs = self.data, dict(self.xattrs)
        return new


class Tree:
    """Names (relative, with /) to nodes; "" is the worker's folder itself."""

    def __init__(self):
        self.names = {"": Node("d", 0o755)}

    def copy(self):
        new, seen = Tree(), {}
        new.names = {name: seen.setdefault(id(n), n.copy()) for name, n in self.names.items()}
        return new

    def below(self, name):
        return [n for n in self.names if n.startswith(name + "/")] if name else \
            [n for n in self.names if n]

    def links(self, node):
        return sum(n is node for n in self.names.values())

    def _move(self, old, new):
        moved = {n: self.names.pop(n) for n in [old] + self.below(old)}
        for n in [new] + self.below(new):
            self.names.pop(n, None)
        for n, node in moved.items():
            self.names[new + n[len(old):]] = node

    def apply(self, op):
        getattr(self, "do_" + op["do"])(**{k: v for k, v in op.items()
                                           if k != "do" and k not in NOT_WORDS})

    def do_mkdir(self, name, mode):
        self.names[name] = Node("d", mode)

    def do_create(self, name, mode):
        self.names[name] = Node("f", mode)

    def do_write(self, name, at, length, tag):
        node = self.names[name]
        old = node.data.ljust(at, b"\0")
        node.data = old[:at] + pattern(tag, length) + old[at + length:]

    def do_append(self, name, length, tag):
        self.names[name].data += pattern(tag, length)

    def do_truncate(self, name, size):
        self.names[name].data = self.names[name].data[:size].ljust(size, b"\0")

    def do_chmod(self, name, mode):
        self.names[name].mode = mode

    def do_rename(self, name, to):
        if self.names.get(to) is not self.names[name]:      # else rename(2) does nothing
            self._move(name, to)

    def do_exchange(self, name, to):
        one = {n[len(name):]: self.names.pop(n) for n in [name] + self.below(name)}
        two = {n[len(to):]: self.names.pop(n) for n in [to] + self.below(to)}
        self.names.update({to + n: node for n, node in one.items()})
        self.names.update({name + n: node for n, node in two.items()})

    def do_link(self, name, to):
        self.names[to] = self.names[name]

    def do_symlink(self, name, target):
        self.names[name] = Node("l", 0o777, target)

    def do_unlink(self, name):
        del self.names[name]

    do_rmdir = do_unlink

    def do_setxattr(self, name, key, length, tag):
        self.names[name].xattrs[key] = pattern(tag, length)

    def do_removexattr(self, name, key):
        del self.names[name].xattrs[key]

    def do_fallocate(self, name, mode, at, length):
        node = self.names[name]
        if not mode:
            node.data = node.data.ljust(at + length, b"\0")
        elif mode != KEEP:
            end = min(at + length, len(node.data))
            node.data = node.data[:at] + bytes(max(0, end - at)) + node.data[max(end, at):]

    def do_clone(self, name, to):
        data = self.names[name].data
        self.names[to].data = data + self.names[to].data[len(data):]

    def do_fsync(self, name):
        pass


# --- making operations

class Maker:
    """Operations that succeed, for one worker, from a seed; follows them in a tree of its own."""

    def __init__(self, seed, worker):
        self.rng, self.tree = random.Random(f"{seed} {worker}"), Tree()
        self.tag, self.serial = worker * 1_000_000, 0

    def some(self, kind, *, free_of=None):
        names = [n for n, node in self.tree.names.items() if n and node.kind in kind
                 and not (free_of and (free_of + "/").startswith(n + "/"))]
        return self.rng.choice(sorted(names)) if names else None

    def fresh(self):
        self.serial += 1
        parent = self.rng.choice(sorted(n for n, x in self.tree.names.items()
                                        if x.kind == "d" and n.count("/") < 2))
        return (parent + "/" if parent else "") + f"e{self.serial}"

    def make(self):
        while True:
            do = self.rng.choice(sorted(WEIGHTS, key=str))
            if self.rng.random() > WEIGHTS[do]:
                continue
            self.tag += 1
            words = getattr(self, "make_" + do)()
            if words is not None:
                op = dict(words, do=do)
                self.tree.apply(op)
                return op

    def make_mkdir(self):
        return {"name": self.fresh(), "mode": self.rng.choice((0o755, 0o700))}

    def make_create(self):
        if sum(n.kind == "f" for n in self.tree.names.values()) > 20:
            return None
        return {"name": self.fresh(), "mode": self.rng.choice((0o644, 0o600))}

    def make_write(self):
        name = self.some("f")
        return name and {"name": name, "at": self.rng.randrange(30000), "tag": self.tag,
                         "length": self.rng.choice((1, 100, 4096, 20000))}

    def make_append(self):
        name = self.some("f")
        return name and {"name": name, "length": self.rng.choice((10, 500, 9000)), "tag": self.tag}

    def make_truncate(self):
        name = self.some("f")
        return name and {"name": name, "size": self.rng.choice((0, 1, 5000, 40000))}

    def make_chmod(self):
        name = self.some("fd")
        return name and {"name": name, "mode": self.rng.choice((0o600, 0o640, 0o711, 0o755))}

    def _file_over(self, name):
        """Another file to be replaced, or a new name."""
        over = self.some("f", free_of=name)
        return over if over and over != name and self.rng.random() < 0.4 else self.fresh()

    def make_rename(self):
        name = self.some("fdl")
        if name is None:
            return None
        to = self._file_over(name) if self.tree.names[name].kind != "d" else self.fresh()
        return None if (to + "/").startswith(name + "/") else {"name": name, "to": to}

    def make_exchange(self):
        name, to = self.some("fdl"), self.some("fdl")
        if not name or (to + "/").startswith(name + "/") or (name + "/").startswith(to + "/"):
            return None
        return {"name": name, "to": to}

    def make_link(self):
        name = self.some("f")
        return name and {"name": name, "to": self.fresh()}

    def make_symlink(self):
        return {"name": self.fresh(), "target": f"somewhere/{self.tag}"}

    def make_unlink(self):
        name = self.some("fl")
        return name and {"name": name}

    def make_rmdir(self):
        name = self.some("d")
        return None if not name or self.tree.below(name) else {"name": name}

    def make_setxattr(self):
        name = self.some("fd")
        return name and {"name": name, "key": f"user.k{self.rng.randrange(3)}", "tag": self.tag,
                         "length": self.rng.choice((5, 60, 2000))}

    def make_removexattr(self):
        names = sorted(n for n, x in self.tree.names.items() if x.xattrs)
        if not names:
            return None
        name = self.rng.choice(names)
        return {"name": name, "key": self.rng.choice(sorted(self.tree.names[name].xattrs))}

    def make_fallocate(self):
        name = self.some("f")
        return name and {"name": name, "at": self.rng.randrange(20000),
                         "length": self.rng.choice((100, 4096, 30000)),
                         "mode": self.rng.choice((0, KEEP, PUNCH | KEEP, ZERO | KEEP))}

    def make_clone(self):
        name, to = self.some("f"), self.some("f")
        one, two = self.tree.names.get(name), self.tree.names.get(to)
        # Whole: a part of a block can be shared at the end of both files only.
        if not name or one is two or not one.data or len(two.data) > len(one.data):
            return None
        return {"name": name, "to": to}

    def make_fsync(self):
        name = self.some("f")
        return name and {"name": name}


# How likely it is that one that was drawn is taken.
WEIGHTS = {"mkdir": 0.4, "create": 1, "write": 1, "append": 1, "truncate": 0.5, "chmod": 0.4,
           "rename": 1, "exchange": 0.4, "link": 0.4, "symlink": 0.3, "unlink": 0.5, "rmdir": 0.5,
           "setxattr": 0.6, "removexattr": 0.4, "fallocate": 0.8, "clone": 0.6, "fsync": 0.3}
IN_PARTS = ("write", "append", "truncate", "fallocate", "clone")    # the kernel does them in steps


# --- looking

def look(path):
    """The tree that is there: name: (kind, mode, links, data or target, xattrs)."""
    found = {}

    def note(name):
        at = os.path.join(path, name) if name else path
        st = os.lstat(at)
        if stat.S_ISLNK(st.st_mode):
            found[name] = ("l", 0o777, st.st_nlink, os.readlink(at), {})
            return
        xattrs = {k: os.getxattr(at, k) for k in os.listxattr(at) if k.startswith("user.")}
        mode = stat.S_IMODE(st.st_mode)
        if stat.S_ISDIR(st.st_mode):
            found[name] = ("d", mode, 1, "", xattrs)
            for entry in os.listdir(at):
                note(f"{name}/{entry}" if name else entry)
        else:
            with open(at, "rb") as f:
                found[name] = ("f", mode, st.st_nlink, f.read(), xattrs)
    note("")
    return found


def shown(tree):
    """A tree of the model, as look() tells one."""
    links = {}
    for node in tree.names.values():
        links[id(node)] = links.get(id(node), 0) + 1
    return {name: (n.kind, n.mode, links[id(n)] if n.kind != "d" else 1,
                   n.target if n.kind == "l" else n.data if n.kind == "f" else "", n.xattrs)
            for name, n in tree.names.items()}


def difference(found, wanted):
    """None, or the first thing that differs."""
    for name in sorted(set(found) | set(wanted)):
        if name not in found:
            return f"'{name}' is not there"
        if name not in wanted:
            return f"'{name}' is there and should not be"
        for what, got, want in zip(("kind", "mode", "links", "data", "xattrs"), found[name],
                                   wanted[name]):
            if got == want:
                continue
            if what != "data":
                return f"'{name}': {what}: {got!r}, and not {want!r}"
            at = next((i for i, (g, w) in enumerate(zip(got, want)) if g != w),
                      min(len(got), len(want)))
            return f"'{name}': {len(got)} bytes, {got[at:at + 12]!r} at {at}, and not " \
                f"{len(want)} bytes, {want[at:at + 12]!r}"
    return None


def is_between(found, before, after):
    """Is it an operation on the data of a file that is half done? The size is between the two, and
    each byte is that of one of both. In the block of the old end anything may be behind that: the
    zeros of a write further on come last, and when it is sent again."""
    if set(found) != set(before):
        return False
    for name, (kind, mode, links, data, xattrs) in found.items():
        old, new = before[name], after[name]
        if old == new or kind != "f":
            if found[name] != old:
                return False
            continue
        low, high = sorted((len(old[3]), len(new[3])))
        if (kind, mode, links, xattrs) != old[:3] + old[4:] or not low <= len(data) <= high:
            return False
        tail = range(len(old[3]), -(-len(old[3]) // BLOCK) * BLOCK)
        both = zip(old[3].ljust(len(data), b"\0"), new[3].ljust(len(data), b"\0"))
        if any(d not in pair and i not in tail for i, (d, pair) in enumerate(zip(data, both))):
            return False
    return True
