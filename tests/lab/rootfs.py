# SPDX-License-Identifier: GPL-2.0-or-later
"""The mount namespace of a node: the host's programs, everything else its own.

A fresh root on tmpfs with the host's top directories bound into it, so that a
node needs no mount point on the host and cannot leave one there. Private:
/run /tmp /dev/shm (new at each boot), /etc /var/lib (overlay, changes last
until the crash), and the KEEP directories (kept on "disk", in the lab's
directory, across crashes).
"""
import os
import uuid

import syscalls
from common import LabError, node_name, read, write
from corosync import NETS
from syscalls import MS_NODEV, MS_NOEXEC, MS_NOSUID, bind, mount

# path in the node -> directory below <lab>/nX
KEEP = {"/etc/corosync": "etc-corosync", "/etc/clusterd": "etc-clusterd",
        "/var/lib/corosync": "lib-corosync", "/var/lib/clusterd": "lib-clusterd",
        "/var/log": "log", "/cluster": "cluster"}
SPECIAL = {"proc", "sys", "dev", "run", "tmp", "etc", "cluster"}
HIDDEN = ("/run/", "/tmp/", "/etc/", "/var/lib/", "/var/log/", "/dev/shm/")
BOOT_ID = "/proc/sys/kernel/random/boot_id"


def build(config):
    """Builds the root, makes it the root. Runs in the node's new namespaces as its pid 1."""
    node_dir = config["dir"]
    mount(None, "/", None, syscalls.MS_REC | syscalls.MS_PRIVATE)
    root = os.path.join(config["lab"], "root")
    mount("lab", root, "tmpfs", 0, "mode=755,size=64m")
    _bind_top(root)
    _overlay(root, "/etc")
    _overlay(root, "/var/lib")
    for path, name in KEEP.items():
        _bind_dir(os.path.join(node_dir, name), root + path)
    _tmpfs(root + "/run", "755")
    _tmpfs(root + "/tmp", "1777")
    os.makedirs(root + "/run/lock", exist_ok=True)
    _kernel_filesystems(root, config)
    _identity(root, config)
    for path in config["visible"]:
        _make_visible(root, path)
    os.makedirs(root + "/run/lab", exist_ok=True)
    _bind_file(os.path.join(config["lab"], "bmc.sock"), root + "/run/lab/bmc.sock")
    os.chdir(root)
    syscalls.pivot_root_here()


def _bind_top(root):
    for name in os.listdir("/"):
        source, target = f"/{name}", f"{root}/{name}"
        if os.path.islink(source):
            os.symlink(os.readlink(source), target)
        elif os.path.isdir(source):
            os.mkdir(target)
            if name not in SPECIAL:
                bind(source, target, recursive=True)
    for name in SPECIAL:
        os.makedirs(f"{root}/{name}", exist_ok=True)
    if os.path.ismount(root + root):        # the new root, seen again through its own bind
        syscalls.umount(root + root, syscalls.MNT_DETACH)


def _overlay(root, path):
    work = f"{root}/.lab{path}"
    for name in ("upper", "work"):
        os.makedirs(f"{work}/{name}")
    try:
        mount("lab", root + path, "overlay", 0,
              f"lowerdir={path},upperdir={work}/upper,workdir={work}/work")
    except OSError as e:
        raise LabError(f"overlay on {path}: {e}", "the lab needs CONFIG_OVERLAY_FS")


def _tmpfs(path, mode):
    os.makedirs(path, exist_ok=True)
    mount("lab", path, "tmpfs", MS_NOSUID | MS_NODEV, f"mode={mode}")


def _bind_dir(source, target):
    os.makedirs(source, exist_ok=True)
    os.makedirs(target, exist_ok=True)
    bind(source, target)


def _bind_file(source, target):
    if not os.path.lexists(target):
        write(target, "")
    bind(source, target)


def _kernel_filesystems(root, config):
    secure = MS_NOSUID | MS_NODEV | MS_NOEXEC
    mount("proc", root + "/proc", "proc", secure)
    mount("sysfs", root + "/sys", "sysfs", secure)
    mount("cgroup2", root + "/sys/fs/cgroup", "cgroup2", secure)
    if os.path.isdir(root + "/sys/fs/fuse/connections"):
        mount("fusectl", root + "/sys/fs/fuse/connections", "fusectl", secure)
    bind("/dev", root + "/dev", recursive=True)
    _tmpfs(root + "/dev/shm", "1777")
    _tmpfs(root + "/dev/lab", "755")
    os.symlink(config["loop"], root + "/dev/lab/lun")


def _identity(root, config):
    number = config["number"]
    name = node_name(number)
    write(root + "/etc/hostname", name + "\n")
    hosts = ["127.0.0.1 localhost"]
    for n in range(1, config["nodes"] + 1):
        hosts += [f"{NETS[0]}.{n} {node_name(n)}", f"{NETS[1]}.{n} {node_name(n)}-mig"]
    for path, text in (("/etc/hosts", "\n".join(hosts) + "\n"),
                       ("/etc/resolv.conf", ""),
                       ("/etc/machine-id", uuid.uuid5(uuid.NAMESPACE_URL,
                                                      config["lab"] + name).hex + "\n")):
        if os.path.lexists(root + path):
            os.unlink(root + path)
        write(root + path, text)
    bind(os.path.join(config["dir"], "boot_id"), root + BOOT_ID)


def _make_visible(root, path):
    """Shows a host directory at its own path although it lies where the node has its own."""
    if path.startswith(HIDDEN) and os.path.isdir(path):
        os.makedirs(root + path, exist_ok=True)
        bind(path, root + path, recursive=True)


def new_boot_id(node_dir):
    """Fresh boot id for the next boot, in the kernel's form."""
    boot_id = str(uuid.uuid4())
    write(os.path.join(node_dir, "boot_id"), boot_id + "\n", 0o444)
    return boot_id


def boot_id_of(node_dir):
    return (read(os.path.join(node_dir, "boot_id")) or "").strip()
