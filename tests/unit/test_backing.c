/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The coordinator's file system: each operation and its main errors, on an XFS of the test's own.
 */
#include "tests/unit/backing_fixture.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "lib/must.h"

#define BLOCK	    4096
#define ACL_ACCESS  "system.posix_acl_access"
#define ACL_DEFAULT "system.posix_acl_default"

static struct csv_request by(struct csv_request q, uint32_t uid, uint32_t gid, uint32_t umask)
{
	q.caller = (struct csv_caller){.uid = uid, .gid = gid, .umask = umask};
	return q;
}

/* ---- making and finding */

static void what_is_made_is_found_with_the_same_handle_and_attributes(void **state)
{
	struct volume *v = *state;
	struct csv_reply made[] = {
		ok(v, ask_create(v->root, "file", 0640, true)),
		ok(v, ask_mknod(v->root, "fifo", S_IFIFO | 0600, 0)),
		ok(v, ask_mknod(v->root, "null", S_IFCHR | 0666, makedev(1, 3))),
		ok(v, ask_mkdir(v->root, "dir", 0711)),
		ok(v, ask_symlink(v->root, "link", "../away")),
	};
	static const char *const name[] = {"file", "fifo", "null", "dir", "link"};
	static const uint32_t mode[] = {S_IFREG | 0640, S_IFIFO | 0600, S_IFCHR | 0666,
					S_IFDIR | 0711, S_IFLNK | 0777};

	for (size_t i = 0; i < MUST_ARRAY_SIZE(made); i++) {
		struct csv_reply p = ok(v, ask_lookup(v->root, name[i]));
		struct csv_attr a = attr_of(v, p.entry.handle);

		assert_same(p.entry.handle, made[i].entry.handle);
		assert_memory_equal(&p.entry.attr, &made[i].entry.attr, sizeof(a));
		assert_memory_equal(&p.entry.attr, &a, sizeof(a));
		assert_int_equal(a.mode, mode[i]);
		assert_int_equal(a.ino, p.entry.handle.ino);
	}
	assert_int_equal(made[2].entry.attr.rdev, makedev(1, 3));
	assert_int_equal(err(v, ask_lookup(v->root, "none")), ENOENT);
	assert_int_equal(err(v, ask_lookup(made[0].entry.handle, "x")), ENOTDIR);
}

static void a_name_that_is_taken_is_not_made_again(void **state)
{
	struct volume *v = *state;
	struct csv_handle h = file_with(v, v->root, "x", "");

	assert_int_equal(err(v, ask_create(v->root, "x", 0644, true)), EEXIST);
	assert_int_equal(err(v, ask_mknod(v->root, "x", S_IFREG | 0644, 0)), EEXIST);
	assert_int_equal(err(v, ask_mkdir(v->root, "x", 0755)), EEXIST);
	assert_int_equal(err(v, ask_symlink(v->root, "x", "y")), EEXIST);
	assert_int_equal(err(v, ask_link(h, v->root, "x")), EEXIST);
	assert_same(handle_at(v, v->root, "x"), h);
}

static void a_creation_that_is_not_exclusive_opens_what_is_there(void **state)
{
	struct volume *v = *state;
	struct csv_handle h = file_with(v, v->root, "x", "old");

	assert_same(ok(v, ask_create(v->root, "x", 0600, false)).entry.handle, h);
	assert_content(v, h, "old");
	/* It has been counted as open. */
	ok(v, ask_unlink(v->root, "x"));
	assert_content(v, h, "old");
	ok(v, ask_release(h));
	assert_int_equal(err(v, ask_getattr(h)), ESTALE);
}

static void a_creation_opens_no_directory_and_nothing_that_the_kernel_must_decide_on(void **state)
{
	struct volume *v = *state;

	dir_at(v, v->root, "dir");
	ok(v, ask_symlink(v->root, "link", "dir"));
	ok(v, ask_mknod(v->root, "secret", S_IFREG | 0600, 0));
	ok(v, by(ask_mknod(v->root, "mine", S_IFREG | 0600, 0), 1000, 1000, 0));
	assert_int_equal(err(v, ask_create(v->root, "dir", 0644, false)), EISDIR);
	assert_int_equal(err(v, ask_create(v->root, "link", 0644, false)), ESTALE);
	assert_int_equal(err(v, by(ask_create(v->root, "secret", 0644, false), 1000, 1000, 0)),
			 ESTALE);
	ok(v, by(ask_create(v->root, "mine", 0644, false), 1000, 1000, 0));
}

static void a_symbolic_link_says_what_it_was_told(void **state)
{
	struct volume *v = *state;
	struct csv_handle h = ok(v, ask_symlink(v->root, "l", "/some/where")).entry.handle;
	struct csv_reply p = ok(v, ask_readlink(h));
	char text[CSV_PATH_MAX + 1];

	assert_int_equal(p.bytes.data.len, 11);
	assert_memory_equal(p.bytes.data.data, "/some/where", 11);
	assert_int_equal(err(v, ask_readlink(v->root)), EINVAL);
	assert_int_equal(err(v, ask_symlink(v->root, "m", "")), ENOENT);
	memset(text, 'x', CSV_PATH_MAX);
	text[CSV_PATH_MAX] = 0;
	assert_int_equal(err(v, ask_symlink(v->root, "m", text)), ENAMETOOLONG);
	assert_int_equal(err(v, ask_lookup(v->root, "m")), ENOENT);
}

static void a_new_inode_belongs_to_the_caller_in_a_directory_that_is_not_his(void **state)
{
	struct volume *v = *state;
	struct csv_handle dir = dir_at(v, v->root, "d");
	struct csv_attr a[] = {
		ok(v, by(ask_create(dir, "f", 0666, true), 1000, 1001, 022)).entry.attr,
		ok(v, by(ask_mkdir(dir, "s", 0777), 1000, 1001, 077)).entry.attr,
		ok(v, by(ask_mknod(dir, "n", S_IFIFO | 0666, 0), 1000, 1001, 0)).entry.attr,
		ok(v, by(ask_symlink(dir, "l", "x"), 1000, 1001, 022)).entry.attr,
	};
	static const uint32_t mode[] = {0644, 0700, 0666, 0777};

	for (size_t i = 0; i < MUST_ARRAY_SIZE(a); i++) {
		assert_int_equal(a[i].uid, 1000);
		assert_int_equal(a[i].gid, 1001);
		assert_int_equal(a[i].mode & 07777, mode[i]);
	}
	/* And this thread is root again. */
	assert_int_equal(ok(v, ask_create(dir, "r", 0644, true)).entry.attr.uid, 0);
	assert_int_equal(err(v, by(ask_create(dir, "q", 0644, true), UINT32_MAX, 1, 0)), EPERM);
}

static void a_setgid_directory_passes_on_its_group(void **state)
{
	struct volume *v = *state;
	struct csv_handle dir = dir_at(v, v->root, "d");
	struct csv_request q = ask_setattr(dir, CSV_SET_MODE | CSV_SET_GID), member;
	struct csv_attr a;

	q.setattr.mode = 02775;
	q.setattr.gid = 500;
	ok(v, q);
	a = ok(v, by(ask_mkdir(dir, "s", 0755), 1000, 1000, 0)).entry.attr;
	assert_int_equal(a.gid, 500);
	assert_int_equal(a.mode & 07777, 02755);
	/* An executable with setgid, by one who is not in that group, by one who is, by root. */
	a = ok(v, by(ask_create(dir, "f", 02775, true), 1000, 1000, 0)).entry.attr;
	assert_int_equal(a.gid, 500);
	assert_int_equal(a.mode & 07777, 0775);
	member = by(ask_create(dir, "g", 02775, true), 1000, 1000, 0);
	member.caller.group_count = 1;
	member.caller.groups[0] = 500;
	assert_int_equal(ok(v, member).entry.attr.mode & 07777, 02775);
	assert_int_equal(ok(v, ask_create(dir, "h", 02775, true)).entry.attr.mode & 07777, 02775);
}

/* ---- removing, moving, linking */

static void what_is_unlinked_is_gone_and_its_handle_is_stale(void **state)
{
	struct volume *v = *state;
	struct csv_handle f = file_with(v, v->root, "f", "x"), d = dir_at(v, v->root, "d");

	assert_int_equal(err(v, ask_unlink(v->root, "none")), ENOENT);
	assert_int_equal(err(v, ask_unlink(v->root, "d")), EISDIR);
	assert_int_equal(err(v, ask_rmdir(v->root, "f")), ENOTDIR);
	file_with(v, d, "in", "");
	assert_int_equal(err(v, ask_rmdir(v->root, "d")), ENOTEMPTY);
	ok(v, ask_unlink(d, "in"));
	ok(v, ask_rmdir(v->root, "d"));
	ok(v, ask_unlink(v->root, "f"));
	assert_int_equal(err(v, ask_lookup(v->root, "f")), ENOENT);
	assert_int_equal(err(v, ask_getattr(f)), ESTALE);
	assert_int_equal(err(v, ask_read(f, 0, 1)), ESTALE);
	assert_int_equal(err(v, ask_getattr(d)), ESTALE);
	assert_int_equal(err(v, ask_mkdir(d, "x", 0755)), ENOENT);
	assert_int_equal(err(v, ask_lookup(d, "x")), ENOENT);
	assert_int_equal(err(v, ask_rename(v->root, "x", d, "x", 0)), ENOENT);
}

static void a_rename_moves_replaces_exchanges_or_refuses(void **state)
{
	struct volume *v = *state;
	struct csv_handle d = dir_at(v, v->root, "d"), a = file_with(v, v->root, "a", "A"),
			  b = file_with(v, d, "b", "B");

	assert_int_equal(err(v, ask_rename(v->root, "none", d, "b", 0)), ENOENT);
	assert_int_equal(err(v, ask_rename(v->root, "a", d, "b", RENAME_NOREPLACE)), EEXIST);
	assert_int_equal(err(v, ask_rename(v->root, "a", d, "c", RENAME_EXCHANGE)), ENOENT);
	assert_int_equal(err(v, ask_rename(v->root, "a", d, "c", RENAME_WHITEOUT)), EINVAL);
	ok(v, ask_rename(v->root, "a", d, "b", RENAME_EXCHANGE));
	assert_same(handle_at(v, v->root, "a"), b);
	assert_same(handle_at(v, d, "b"), a);
	ok(v, ask_rename(v->root, "a", d, "c", RENAME_NOREPLACE));
	assert_int_equal(err(v, ask_lookup(v->root, "a")), ENOENT);
	ok(v, ask_rename(d, "c", d, "b", 0));
	assert_same(handle_at(v, d, "b"), b);
	assert_int_equal(err(v, ask_getattr(a)), ESTALE);
}

static void directories_move_but_not_into_themselves(void **state)
{
	struct volume *v = *state;
	struct csv_handle d = dir_at(v, v->root, "d"), e = dir_at(v, d, "e");

	assert_int_equal(err(v, ask_rename(v->root, "d", e, "x", 0)), EINVAL);
	assert_int_equal(err(v, ask_rename(v->root, "d", d, "x", 0)), EINVAL);
	file_with(v, e, "in", "");
	assert_int_equal(err(v, ask_rename(e, "in", v->root, "d", 0)), ENOTEMPTY);
	dir_at(v, e, "sub");
	assert_int_equal(err(v, ask_rename(e, "sub", d, "e", 0)), ENOTEMPTY);
	ok(v, ask_rename(d, "e", v->root, "e", 0));
	assert_int_equal(attr_of(v, d).nlink, 2);
	assert_int_equal(attr_of(v, v->root).nlink, 4);
	assert_same(handle_at(v, v->root, "e"), e);
}

static void renaming_one_name_of_an_inode_to_another_does_nothing(void **state)
{
	struct volume *v = *state;
	struct csv_handle h = file_with(v, v->root, "a", "A");

	ok(v, ask_link(h, v->root, "b"));
	ok(v, ask_rename(v->root, "a", v->root, "b", 0));
	assert_same(handle_at(v, v->root, "a"), h);
	assert_same(handle_at(v, v->root, "b"), h);
	assert_int_equal(attr_of(v, h).nlink, 2);
}

static void a_link_is_one_name_more(void **state)
{
	struct volume *v = *state;
	struct csv_handle h = file_with(v, v->root, "a", "A"), d = dir_at(v, v->root, "d");
	struct csv_reply p = ok(v, ask_link(h, d, "b"));

	assert_same(p.entry.handle, h);
	assert_int_equal(p.entry.attr.nlink, 2);
	assert_int_equal(err(v, ask_link(d, d, "c")), EPERM);
	ok(v, ask_unlink(v->root, "a"));
	assert_int_equal(attr_of(v, h).nlink, 1);
	assert_content(v, h, "A");
	ok(v, ask_unlink(d, "b"));
	assert_int_equal(err(v, ask_link(h, d, "c")), ESTALE);
}

/* ---- attributes */

static void setattr_sets_all_that_it_is_asked_for_at_once(void **state)
{
	struct volume *v = *state;
	struct csv_handle h = file_with(v, v->root, "f", "abcdef");
	struct csv_request q = ask_setattr(h, CSV_SET_MODE | CSV_SET_UID | CSV_SET_GID |
						      CSV_SET_SIZE | CSV_SET_ATIME | CSV_SET_MTIME);
	struct csv_attr a;

	q.setattr.mode = 06755;
	q.setattr.uid = 7;
	q.setattr.gid = 8;
	q.setattr.size = 3;
	q.setattr.atime = (struct csv_time){1000, 1};
	q.setattr.mtime = (struct csv_time){-5, 999999999};
	a = ok(v, q).attr.attr;
	assert_int_equal(a.mode & 07777, 06755);
	assert_int_equal(a.uid, 7);
	assert_int_equal(a.gid, 8);
	assert_int_equal(a.size, 3);
	assert_int_equal(a.atime.sec, 1000);
	assert_int_equal(a.atime.nsec, 1);
	assert_int_equal(a.mtime.sec, -5);
	/* One of them alone leaves the others. */
	a = ok(v, ask_setattr(h, CSV_SET_MTIME | CSV_SET_MTIME_NOW)).attr.attr;
	assert_true(a.mtime.sec > 1000000);
	assert_int_equal(a.atime.sec, 1000);
	assert_int_equal(a.mode & 07777, 06755);
	q = ask_setattr(h, CSV_SET_GID);
	q.setattr.gid = 9;
	a = ok(v, q).attr.attr;
	assert_int_equal(a.uid, 7);
	assert_int_equal(a.gid, 9);
	assert_int_equal(a.mode & 07777, 0755);
	assert_content(v, h, "abc");
}

static void setattr_works_on_links_and_directories_but_gives_them_no_size(void **state)
{
	struct volume *v = *state;
	struct csv_handle l = ok(v, ask_symlink(v->root, "l", "none")).entry.handle;
	struct csv_request q = ask_setattr(l, CSV_SET_UID | CSV_SET_MTIME);

	q.setattr.uid = 5;
	q.setattr.mtime = (struct csv_time){77, 0};
	assert_int_equal(ok(v, q).attr.attr.uid, 5);
	assert_int_equal(attr_of(v, l).mtime.sec, 77);
	assert_int_equal(err(v, ask_setattr(l, CSV_SET_SIZE)), EINVAL);
	assert_int_equal(err(v, ask_setattr(v->root, CSV_SET_SIZE)), EISDIR);
	q = ask_setattr(file_with(v, v->root, "f", ""), CSV_SET_SIZE);
	q.setattr.size = UINT64_MAX;
	assert_int_equal(err(v, q), EFBIG);
}

/* A file with suid, sgid, and a capability: struct vfs_cap_data, linux/capability.h. */
static struct csv_handle privileged(struct volume *v, const char *name)
{
	static const uint8_t cap[20] = {1, 0, 0, 2, 0, 4};
	struct csv_handle h = file_with(v, v->root, name, "abc");
	struct csv_request q = ask_setattr(h, CSV_SET_MODE);

	q.setattr.mode = 06775;
	ok(v, q);
	ok(v, ask_setxattr(h, "security.capability", 0, cap, sizeof(cap)));
	return h;
}

static void a_write_by_one_who_may_not_keep_them_clears_privileges(void **state)
{
	struct volume *v = *state;
	struct csv_handle h = privileged(v, "a");
	struct csv_request q;

	ok(v, ask_write(h, 0, CSV_WRITE_KILL_SUID, "x", 1));
	assert_int_equal(attr_of(v, h).mode & 07777, 0775);
	assert_int_equal(err(v, ask_getxattr(h, "security.capability", 0)), ENODATA);
	h = privileged(v, "b");
	q = ask_setattr(h, CSV_SET_SIZE | CSV_SET_KILL_SUID);
	q.setattr.size = 1;
	assert_int_equal(ok(v, q).attr.attr.mode & 07777, 0775);
	assert_int_equal(err(v, ask_getxattr(h, "security.capability", 0)), ENODATA);
	/* Who may keep them does; setgid without execution by the group stays with its members. */
	h = privileged(v, "c");
	ok(v, ask_write(h, 0, 0, "x", 1));
	assert_int_equal(attr_of(v, h).mode & 07777, 06775);
	q = ask_setattr(h, CSV_SET_MODE);
	q.setattr.mode = 02664;
	ok(v, q);
	ok(v, ask_write(h, 0, CSV_WRITE_KILL_SUID, "x", 1));
	assert_int_equal(attr_of(v, h).mode & 07777, 02664);
	ok(v, by(ask_write(h, 0, CSV_WRITE_KILL_SUID, "x", 1), 1000, 1000, 0));
	assert_int_equal(attr_of(v, h).mode & 07777, 0664);
}

static void whatever_changes_a_file_clears_privileges(void **state)
{
	struct volume *v = *state;
	struct csv_handle from = file_with(v, v->root, "from", "12345678"), h;
	struct csv_request q;

	h = privileged(v, "fallocate");
	ok(v, ask_fallocate(h, 0, 0, BLOCK));
	assert_int_equal(attr_of(v, h).mode & 07777, 06775);
	ok(v, by(ask_fallocate(h, 0, 0, BLOCK), 1000, 1000, 0));
	assert_int_equal(attr_of(v, h).mode & 07777, 0775);
	assert_int_equal(err(v, ask_getxattr(h, "security.capability", 0)), ENODATA);
	h = privileged(v, "copy");
	ok(v, by(ask_copy_range(from, 0, h, 0, 8), 1000, 1000, 0));
	assert_int_equal(attr_of(v, h).mode & 07777, 0775);
	/* Nothing to set: chown(2) of nothing, by its owner, root, or somebody. */
	h = privileged(v, "chown");
	ok(v, by(ask_setattr(h, 0), 1000, 1000, 0));
	assert_int_equal(attr_of(v, h).mode & 07777, 06775);
	ok(v, ask_setattr(h, 0));
	assert_int_equal(attr_of(v, h).mode & 07777, 0775);
	q = ask_setattr(h, CSV_SET_MODE | CSV_SET_UID);
	q.setattr.mode = 02664;
	q.setattr.uid = 1000;
	ok(v, q);
	q = by(ask_setattr(h, CSV_SET_GID), 1000, 1000, 0);
	q.setattr.gid = 1000;
	assert_int_equal(ok(v, q).attr.attr.mode & 07777, 0664);
}

static void only_the_owner_of_now_changes_what_is_the_owners(void **state)
{
	struct volume *v = *state;
	struct csv_handle h = file_with(v, v->root, "f", "");
	struct csv_request q = ask_setattr(h, CSV_SET_UID);

	q.setattr.uid = 1000;
	ok(v, q);
	q = by(ask_setattr(h, CSV_SET_MODE), 1001, 1001, 0);
	assert_int_equal(err(v, q), EPERM);
	q.caller.uid = 1000;
	ok(v, q);
	assert_int_equal(err(v, by(ask_setattr(h, CSV_SET_MTIME), 1001, 1001, 0)), EPERM);
	/* Who may write it may also do these; the first is what its kernel does for him. */
	q = ask_setattr(h, CSV_SET_MODE);
	q.setattr.mode = 06755;
	ok(v, q);
	q = by(ask_setattr(h, CSV_SET_MODE), 1001, 1001, 0);
	q.setattr.mode = 0775;
	assert_int_equal(err(v, q), EPERM);
	q.setattr.mode = 0755;
	ok(v, q);
	ok(v, by(ask_setattr(h, CSV_SET_MTIME_NOW | CSV_SET_ATIME_NOW), 1001, 1001, 0));
	ok(v, by(ask_setattr(h, CSV_SET_SIZE), 1001, 1001, 0));
	assert_int_equal(err(v, by(ask_setxattr(h, ACL_ACCESS, 0, "", 0), 1001, 1001, 0)), EPERM);
	assert_int_equal(err(v, by(ask_removexattr(h, ACL_ACCESS), 1001, 1001, 0)), EPERM);
	ok(v, by(ask_removexattr(h, ACL_ACCESS), 1000, 1000, 0));
}

/* An ACL as setxattr(2) takes it: linux/posix_acl_xattr.h. User 7 has `perm`. */
static size_t acl_for(uint8_t ret[44], uint8_t perm, uint8_t mask)
{
	const struct {
		uint8_t tag, perm;
		uint32_t id;
	} entry[] = {{0x01, 6, UINT32_MAX},
		     {0x02, perm, 7},
		     {0x04, 4, UINT32_MAX},
		     {0x10, mask, UINT32_MAX},
		     {0x20, 0, UINT32_MAX}};

	memset(ret, 0, 44);
	ret[0] = 2; /* version */
	for (size_t i = 0; i < MUST_ARRAY_SIZE(entry); i++) {
		ret[4 + 8 * i] = entry[i].tag;
		ret[6 + 8 * i] = entry[i].perm;
		memcpy(ret + 8 + 8 * i, &entry[i].id,
		       4); /* 7, and all ones: on any CPU that runs us */
	}
	return 44;
}

static void an_access_list_and_the_mode_are_one(void **state)
{
	struct volume *v = *state;
	struct csv_handle h = file_with(v, v->root, "f", "");
	struct csv_request q = ask_setattr(h, CSV_SET_MODE);
	uint8_t acl[44];
	struct csv_reply p;

	assert_int_equal(err(v, ask_getxattr(h, ACL_ACCESS, 99)), ENODATA);
	ok(v, ask_setxattr(h, ACL_ACCESS, 0, acl, acl_for(acl, 6, 6)));
	assert_int_equal(attr_of(v, h).mode & 07777, 0660);
	q.setattr.mode = 0640; /* the mask */
	ok(v, q);
	p = ok(v, ask_getxattr(h, ACL_ACCESS, 99));
	assert_int_equal(p.xattr.data.len, acl_for(acl, 6, 4));
	assert_memory_equal(p.xattr.data.data, acl, sizeof(acl));
	assert_int_equal(ok(v, by(ask_listxattr(h, 100), 1000, 1000, 0)).xattr.length,
			 sizeof(ACL_ACCESS));
	assert_int_equal(err(v, ask_setxattr(h, ACL_ACCESS, 0, "x", 1)), EINVAL);
	assert_int_equal(err(v, ask_setxattr(h, ACL_DEFAULT, 0, acl, sizeof(acl))), EACCES);
	/* A file that its mode would open without more is decided on by the kernel that asks. */
	assert_int_equal(err(v, by(ask_create(v->root, "f", 0644, false), 0, 0, 0)), ESTALE);
	ok(v, ask_removexattr(h, ACL_ACCESS));
	ok(v, ask_removexattr(h, ACL_ACCESS)); /* as XFS has it */
	assert_int_equal(attr_of(v, h).mode & 07777, 0640);
}

static void an_access_list_by_one_of_another_group_takes_setgid_away(void **state)
{
	struct volume *v = *state;
	struct csv_handle h = file_with(v, v->root, "f", "");
	struct csv_request q = ask_setattr(h, CSV_SET_MODE | CSV_SET_UID | CSV_SET_GID);
	uint8_t acl[44];

	q.setattr.uid = 1000;
	q.setattr.mode = 02770;
	q.setattr.gid = 50;
	ok(v, q);
	q = by(ask_setxattr(h, ACL_ACCESS, 0, acl, acl_for(acl, 6, 6)), 1000, 1000, 0);
	q.caller.group_count = 1;
	q.caller.groups[0] = 50;
	ok(v, q);
	assert_int_equal(attr_of(v, h).mode & 07777, 02660);
	q.caller.groups[0] = 51;
	ok(v, q);
	assert_int_equal(attr_of(v, h).mode & 07777, 0660);
	assert_int_equal(ok(v, ask_getxattr(h, ACL_ACCESS, 0)).xattr.length, sizeof(acl));
}

static void a_default_access_list_stands_for_the_umask(void **state)
{
	struct volume *v = *state;
	struct csv_handle dir = dir_at(v, v->root, "d"), h;
	uint8_t acl[44];

	ok(v, ask_setxattr(dir, ACL_DEFAULT, 0, acl, acl_for(acl, 6, 6)));
	h = ok(v, by(ask_create(dir, "f", 0666, true), 1000, 1000, 077)).entry.handle;
	assert_int_equal(attr_of(v, h).mode & 07777, 0660);
	assert_int_equal(ok(v, ask_getxattr(h, ACL_ACCESS, 0)).xattr.length, sizeof(acl));
	h = ok(v, by(ask_mknod(dir, "p", S_IFIFO | 0666, 0), 1000, 1000, 077)).entry.handle;
	assert_int_equal(attr_of(v, h).mode & 07777, 0660);
	h = ok(v, by(ask_mkdir(dir, "s", 0777), 1000, 1000, 077)).entry.handle;
	assert_int_equal(attr_of(v, h).mode & 07777, 0660);
	assert_int_equal(ok(v, ask_getxattr(h, ACL_DEFAULT, 0)).xattr.length, sizeof(acl));
	ok(v, ask_removexattr(dir, ACL_DEFAULT));
	h = ok(v, by(ask_create(dir, "g", 0666, true), 1000, 1000, 077)).entry.handle;
	assert_int_equal(attr_of(v, h).mode & 07777, 0600);
}

static void extended_attributes_are_set_read_listed_and_removed(void **state)
{
	struct volume *v = *state;
	struct csv_handle h = file_with(v, v->root, "f", "");
	static uint8_t big[CSV_XATTR_MAX];
	struct csv_reply p;

	assert_int_equal(err(v, ask_setxattr(h, "user.a", XATTR_REPLACE, "1", 1)), ENODATA);
	ok(v, ask_setxattr(h, "user.a", XATTR_CREATE, "1", 1));
	assert_int_equal(err(v, ask_setxattr(h, "user.a", XATTR_CREATE, "2", 1)), EEXIST);
	ok(v, ask_setxattr(h, "user.a", XATTR_REPLACE, "two", 3));
	p = ok(v, ask_getxattr(h, "user.a", 0));
	assert_int_equal(p.xattr.length, 3);
	assert_int_equal(p.xattr.data.len, 0);
	p = ok(v, ask_getxattr(h, "user.a", 3));
	assert_int_equal(p.xattr.data.len, 3);
	assert_memory_equal(p.xattr.data.data, "two", 3);
	assert_int_equal(err(v, ask_getxattr(h, "user.a", 2)), ERANGE);
	p = ok(v, ask_listxattr(h, 100));
	assert_int_equal(p.xattr.length, 7);
	assert_memory_equal(p.xattr.data.data, "user.a", 7);
	assert_int_equal(ok(v, ask_listxattr(h, 0)).xattr.length, 7);
	assert_int_equal(err(v, ask_listxattr(h, 6)), ERANGE);
	memset(big, 7, sizeof(big));
	ok(v, ask_setxattr(h, "user.big", 0, big, sizeof(big)));
	p = ok(v, ask_getxattr(h, "user.big", sizeof(big)));
	assert_int_equal(p.xattr.data.len, sizeof(big));
	assert_memory_equal(p.xattr.data.data, big, sizeof(big));
	ok(v, ask_removexattr(h, "user.a"));
	assert_int_equal(err(v, ask_removexattr(h, "user.a")), ENODATA);
	assert_int_equal(err(v, ask_getxattr(h, "user.a", 9)), ENODATA);
}

static void trusted_attributes_are_for_root(void **state)
{
	struct volume *v = *state;
	struct csv_handle h = file_with(v, v->root, "f", ""),
			  l = ok(v, ask_symlink(v->root, "l", "f")).entry.handle;

	assert_int_equal(err(v, ask_setxattr(h, "nothing", 0, "x", 1)), EOPNOTSUPP);
	ok(v, ask_setxattr(h, "trusted.t", 0, "x", 1));
	ok(v, ask_setxattr(h, "user.u", 0, "x", 1));
	assert_int_equal(ok(v, ask_listxattr(h, 100)).xattr.length, 10 + 7);
	assert_int_equal(ok(v, by(ask_listxattr(h, 100), 1000, 1000, 0)).xattr.length, 7);
	/* Those of a link are its own. */
	ok(v, ask_setxattr(l, "trusted.l", 0, "y", 1));
	assert_int_equal(err(v, ask_getxattr(h, "trusted.l", 9)), ENODATA);
	assert_int_equal(err(v, ask_setxattr(l, "user.l", 0, "y", 1)), EPERM);
}

/* ---- data */

static void a_read_ends_at_the_end_and_a_gap_reads_as_zeros(void **state)
{
	struct volume *v = *state;
	struct csv_handle h = file_with(v, v->root, "f", "abcdef");
	struct csv_request q = ask_setattr(h, CSV_SET_SIZE);
	struct csv_reply p;

	p = ok(v, ask_read(h, 4, 100));
	assert_int_equal(p.bytes.data.len, 2);
	assert_memory_equal(p.bytes.data.data, "ef", 2);
	assert_int_equal(ok(v, ask_read(h, 6, 100)).bytes.data.len, 0);
	assert_int_equal(ok(v, ask_read(h, 0, 0)).bytes.data.len, 0);
	q.setattr.size = 2;
	ok(v, q);
	assert_int_equal(ok(v, ask_write(h, 5, 0, "X", 1)).count.count, 1);
	p = ok(v, ask_read(h, 0, 100));
	assert_int_equal(p.bytes.data.len, 6);
	assert_memory_equal(p.bytes.data.data, "ab\0\0\0X", 6);
	assert_int_equal(err(v, ask_read(h, UINT64_MAX, 1)), EINVAL);
	assert_int_equal(err(v, ask_write(h, UINT64_MAX, 0, "x", 1)), EINVAL);
	assert_int_equal(err(v, ask_read(v->root, 0, 1)), EISDIR);
	assert_int_equal(err(v, ask_write(v->root, 0, 0, "x", 1)), EISDIR);
	ok(v, ask_mknod(v->root, "fifo", S_IFIFO | 0600, 0));
	assert_int_equal(err(v, ask_read(handle_at(v, v->root, "fifo"), 0, 1)), EINVAL);
}

static void an_append_ignores_its_offset(void **state)
{
	struct volume *v = *state;
	struct csv_handle h = file_with(v, v->root, "f", "abc");

	assert_int_equal(ok(v, ask_write(h, 0, CSV_WRITE_APPEND, "de", 2)).count.count, 2);
	ok(v, ask_write(h, 1000, CSV_WRITE_APPEND, "f", 1));
	assert_content(v, h, "abcdef");
	ok(v, ask_fsync(h));
}

static void a_write_of_the_greatest_size_is_read_back(void **state)
{
	struct volume *v = *state;
	struct csv_handle h = file_with(v, v->root, "f", "");
	static uint8_t data[CSV_IO_MAX];
	struct csv_reply p;

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 31 + (i >> 9));
	assert_int_equal(ok(v, ask_write(h, 123, 0, data, sizeof(data))).count.count, CSV_IO_MAX);
	p = ok(v, ask_read(h, 123, CSV_IO_MAX));
	assert_int_equal(p.bytes.data.len, sizeof(data));
	assert_memory_equal(p.bytes.data.data, data, sizeof(data));
}

/* A file of blocks, each filled with its letter. */
static struct csv_handle blocks(struct volume *v, const char *name, const char *letters)
{
	struct csv_handle h = file_with(v, v->root, name, "");
	uint8_t block[BLOCK];

	for (size_t i = 0; letters[i]; i++) {
		memset(block, letters[i], sizeof(block));
		ok(v, ask_write(h, i * BLOCK, 0, block, sizeof(block)));
	}
	return h;
}

/* The first byte of each block, '.' for zero. */
static void assert_blocks(struct volume *v, struct csv_handle h, const char *letters)
{
	assert_int_equal(attr_of(v, h).size, strlen(letters) * BLOCK);
	for (size_t i = 0; letters[i]; i++) {
		char c = (char)ok(v, ask_read(h, i * BLOCK, 1)).bytes.data.data[0];

		assert_int_equal(c ? c : '.', letters[i]);
	}
}

static void fallocate_reserves_punches_zeroes_and_moves(void **state)
{
	struct volume *v = *state;
	struct csv_handle h = blocks(v, "f", "ABCDEF");

	ok(v, ask_fallocate(h, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, BLOCK, BLOCK));
	assert_blocks(v, h, "A.CDEF");
	assert_int_equal(ok(v, ask_lseek(h, 0, SEEK_HOLE)).count.count, BLOCK);
	assert_int_equal(ok(v, ask_lseek(h, BLOCK, SEEK_DATA)).count.count, 2 * BLOCK);
	ok(v, ask_fallocate(h, FALLOC_FL_COLLAPSE_RANGE, 0, BLOCK));
	assert_blocks(v, h, ".CDEF");
	ok(v, ask_fallocate(h, FALLOC_FL_INSERT_RANGE, BLOCK, 2 * BLOCK));
	assert_blocks(v, h, "...CDEF");
	ok(v, ask_fallocate(h, FALLOC_FL_ZERO_RANGE, 3 * BLOCK, BLOCK));
	assert_blocks(v, h, "....DEF");
	ok(v, ask_fallocate(h, FALLOC_FL_KEEP_SIZE, 7 * BLOCK, 9 * BLOCK));
	assert_blocks(v, h, "....DEF");
	assert_true(attr_of(v, h).blocks >= 13 * BLOCK / 512);
	ok(v, ask_fallocate(h, 0, 7 * BLOCK, BLOCK));
	assert_blocks(v, h, "....DEF.");
	ok(v, ask_fallocate(h, FALLOC_FL_UNSHARE_RANGE, 0, BLOCK));
	assert_int_equal(err(v, ask_fallocate(h, 0x8000, 0, 1)), EOPNOTSUPP);
	assert_int_equal(err(v, ask_fallocate(h, 0, UINT64_MAX, 1)), EINVAL);
	assert_int_equal(err(v, ask_fallocate(h, FALLOC_FL_COLLAPSE_RANGE, 1, 1)), EINVAL);
	assert_int_equal(err(v, ask_lseek(h, 99 * BLOCK, SEEK_DATA)), ENXIO);
	assert_int_equal(err(v, ask_lseek(h, 0, SEEK_END)), EINVAL);
}

static void a_copied_range_shares_blocks_and_is_independent(void **state)
{
	struct volume *v = *state;
	struct csv_handle a = blocks(v, "a", "ABCD"), b = file_with(v, v->root, "b", "");
	uint64_t before = ok(v, ask_statfs(v->root)).usage.usage.bfree;

	assert_int_equal(ok(v, ask_copy_range(a, 0, b, 0, 4 * BLOCK)).count.count, 4 * BLOCK);
	assert_blocks(v, b, "ABCD");
	assert_true(ok(v, ask_statfs(v->root)).usage.usage.bfree + 3 > before);
	ok(v, ask_write(b, 0, 0, "x", 1));
	assert_blocks(v, a, "ABCD");
	/* Bytes, behind the end, within itself, onto itself. */
	assert_int_equal(ok(v, ask_copy_range(a, 1, b, 4 * BLOCK, BLOCK)).count.count, BLOCK);
	assert_blocks(v, b, "xBCDA");
	assert_int_equal(ok(v, ask_copy_range(a, 4 * BLOCK, b, 0, 5)).count.count, 0);
	ok(v, ask_copy_range(b, BLOCK, b, 3 * BLOCK, BLOCK));
	assert_blocks(v, b, "xBCBA");
	assert_int_equal(err(v, ask_copy_range(b, 0, b, 1, BLOCK)), EINVAL);
	assert_int_equal(err(v, ask_copy_range(v->root, 0, b, 1, BLOCK)), EISDIR);
}

static void statfs_tells_of_the_volume(void **state)
{
	struct volume *v = *state;
	struct csv_usage u = ok(v, ask_statfs(v->root)).usage.usage;

	assert_int_equal(u.namemax, 255);
	assert_int_equal(u.frsize, BLOCK);
	assert_true(u.blocks > u.bfree && u.bavail > 0 && u.files > u.ffree);
}

/* ---- open */

static void only_files_and_directories_are_opened(void **state)
{
	struct volume *v = *state;
	struct csv_handle f = file_with(v, v->root, "f", ""),
			  l = ok(v, ask_symlink(v->root, "l", "f")).entry.handle,
			  p = ok(v, ask_mknod(v->root, "p", S_IFIFO | 0600, 0)).entry.handle;

	ok(v, ask_open(f, O_RDWR));
	ok(v, ask_open(v->root, O_RDONLY | O_DIRECTORY));
	assert_int_equal(err(v, ask_open(v->root, O_RDWR)), EISDIR);
	assert_int_equal(err(v, ask_open(f, O_RDONLY | O_DIRECTORY)), ENOTDIR);
	assert_int_equal(err(v, ask_open(l, O_RDONLY)), ELOOP);
	assert_int_equal(err(v, ask_open(p, O_RDONLY)), ENXIO);
	assert_int_equal(err(v, ask_open((struct csv_handle){123456789, 1}, O_RDONLY)), ESTALE);
	assert_int_equal(err(v, ask_open((struct csv_handle){f.ino, f.gen + 1}, 0)), ESTALE);
	ok(v, ask_release(f));
	ok(v, ask_release(f));
	ok(v, ask_release((struct csv_handle){123456789, 1}));
}

static void many_open_files_are_closed_with_the_volume(void **state)
{
	struct volume *v = *state;
	struct csv_handle h;
	char name[16];

	for (int i = 0; i < 400; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		h = ok(v, ask_create(v->root, name, 0644, true)).entry.handle;
		ok(v, ask_write(h, 0, 0, name, strlen(name)));
		assert_content(v, h, name);
	}
	volume_check(v);
}

static void a_full_volume_can_be_emptied_by_a_mount_that_it_has_not_seen(void **state)
{
	struct volume *v = *state;
	struct csv_handle h = file_with(v, v->root, "big", "x");
	uint64_t at = 0;
	struct csv_reply p;

	ok(v, ask_open(h, O_RDWR));
	for (uint64_t step = 1 << 28; step >= BLOCK;) {
		if (volume_do(v, 1, 0, ask_fallocate(h, 0, at, step), &p))
			step /= 2;
		else
			at += step;
	}
	for (int i = 0; p.error != ENOSPC || i < 100; i++) {
		char name[16];

		snprintf(name, sizeof(name), "f%d", i);
		volume_do(v, 1, 0, ask_mknod(v->root, name, S_IFREG | 0600, 0), &p);
	}
	assert_int_equal(err(v, ask_write(h, at + BLOCK, 0, "x", 1)), ENOSPC);
	/* Open: it must become an orphan. By mount 2, which needs a record of its own. */
	assert_int_equal(err_of(v, 2, ask_unlink(v->root, "big")), 0);
	ok(v, ask_release(h));
	file_with(v, v->root, "again", "x");
	volume_check(v);
}

#define T(name) cmocka_unit_test_setup_teardown(name, volume_setup, volume_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(what_is_made_is_found_with_the_same_handle_and_attributes),
		T(a_name_that_is_taken_is_not_made_again),
		T(a_creation_that_is_not_exclusive_opens_what_is_there),
		T(a_creation_opens_no_directory_and_nothing_that_the_kernel_must_decide_on),
		T(a_symbolic_link_says_what_it_was_told),
		T(a_new_inode_belongs_to_the_caller_in_a_directory_that_is_not_his),
		T(a_setgid_directory_passes_on_its_group),
		T(what_is_unlinked_is_gone_and_its_handle_is_stale),
		T(a_rename_moves_replaces_exchanges_or_refuses),
		T(directories_move_but_not_into_themselves),
		T(renaming_one_name_of_an_inode_to_another_does_nothing),
		T(a_link_is_one_name_more),
		T(setattr_sets_all_that_it_is_asked_for_at_once),
		T(setattr_works_on_links_and_directories_but_gives_them_no_size),
		T(a_write_by_one_who_may_not_keep_them_clears_privileges),
		T(whatever_changes_a_file_clears_privileges),
		T(extended_attributes_are_set_read_listed_and_removed),
		T(trusted_attributes_are_for_root),
		T(only_the_owner_of_now_changes_what_is_the_owners),
		T(an_access_list_and_the_mode_are_one),
		T(an_access_list_by_one_of_another_group_takes_setgid_away),
		T(a_default_access_list_stands_for_the_umask),
		T(a_read_ends_at_the_end_and_a_gap_reads_as_zeros),
		T(an_append_ignores_its_offset),
		T(a_write_of_the_greatest_size_is_read_back),
		T(fallocate_reserves_punches_zeroes_and_moves),
		T(a_copied_range_shares_blocks_and_is_independent),
		T(statfs_tells_of_the_volume),
		T(only_files_and_directories_are_opened),
		T(many_open_files_are_closed_with_the_volume),
		T(a_full_volume_can_be_emptied_by_a_mount_that_it_has_not_seen),
	};
	const char *why = volume_begin();

	if (why) {
		printf("skipped: %s\n", why);
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
