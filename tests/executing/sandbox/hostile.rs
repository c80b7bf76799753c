//! Commands that mean harm. What they may not see or write at all is in `isolation`, and how they end in `ends`.

use std::os::unix::fs::PermissionsExt;

use crosswheel::sandbox::Spawner;

use super::running::{again_as_nobody, full, sh};

#[test]
fn no_process_outside_can_be_signalled() {
    let sandbox = full();
    let mut other = sh("echo started; sleep 1000").start(&sandbox).unwrap();
    assert_eq!(other.line(), "started");
    // Every number there is, but for 1 (all others) and those of the command itself.
    let script = format!(
        "kill -0 {} 2>/dev/null && echo found
        for pid in $(seq 20 40000); do kill -0 $pid 2>/dev/null && echo $pid; done; echo none",
        std::process::id()
    );
    assert_eq!(sh(&script).output(&sandbox), "none\n");
}

/// Setuid programs give nothing, and neither do namespaces of the command's own.
#[test]
fn there_are_no_privileges_to_be_gained() {
    let directory = tempfile::tempdir().unwrap();
    let id = directory.path().join("id");
    fs_err::copy("/usr/bin/id", &id).unwrap();
    fs_err::set_permissions(&id, PermissionsExt::from_mode(0o4755)).unwrap();
    let script = "
        grep -E '^(Cap...|NoNewPrivs):' /proc/self/status | tr -s '\\t' ' '
        /crosswheel/id -u
        try() { unshare --user --map-root-user --mount --pid --fork sh -c \"$1\" 2>/dev/null && echo \"managed to $1\"; }
        try 'mount -o remount,bind,rw /usr'
        try 'umount /usr'
        try 'umount /proc/sys && test -w /proc/sys/kernel/hostname'
        try 'mount -t proc proc /proc && test -w /proc/sys/kernel/printk'
        try 'mknod /tmp/disk b 8 0'
        hostname elsewhere 2>/dev/null && echo renamed
        echo end";
    let output = sh(script).writable(directory.path(), "/crosswheel").output(&full());
    let none = "0000000000000000";
    let expected = format!(
        "CapInh: {none}\nCapPrm: {none}\nCapEff: {none}\nCapBnd: {none}\nCapAmb: {none}\nNoNewPrivs: 1\n1000\nend\n"
    );
    assert_eq!(output, expected);
    again_as_nobody();
}

/// Who is root outside owns the kernel's settings, whatever capabilities they lack.
#[test]
fn settings_of_the_kernel_cannot_be_changed() {
    let script = "
        find /proc -path '/proc/[0-9]*' -prune -o -path /proc/self -prune -o -path /proc/thread-self -prune -o \
            -type f -writable -print 2>/dev/null | while read file; do
            (: >> $file) 2>/dev/null && echo $file
        done
        echo end";
    // The second command of a zygote, as most are.
    let spawner = Spawner::start(&full()).unwrap();
    for _ in 0..3 {
        assert_eq!(sh(script).output(&spawner), "end\n");
    }
}

/// An input root may hold anything, links to where the host's files are during the set-up included.
#[test]
fn a_link_in_an_overlay_does_not_lead_a_mount_out_of_the_root() {
    use crosswheel::sandbox::{Bind, Overlay};

    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    for name in ["lower", "upper", "work", "target", "source"] {
        fs_err::create_dir(path(name)).unwrap();
    }
    for (name, prefix) in [("plain", ""), ("aside", "/dev/shm"), ("first", "/.crosswheel-host")] {
        let target = format!("{prefix}{}", path("target").display());
        fs_err::os::unix::fs::symlink(target, path("lower").join(name)).unwrap();
    }
    for name in ["plain", "aside", "first"] {
        let started = sh("true")
            .with(|spec| {
                spec.overlays.push(Overlay {
                    lower: vec![path("lower")],
                    upper: path("upper"),
                    work: path("work"),
                    inside: "/crosswheel".into(),
                });
                let inside = format!("/crosswheel/{name}/made").into();
                spec.binds.push(Bind { host: path("source"), inside, writable: true });
            })
            .start(&full());
        assert!(started.is_err(), "{name}");
        assert_eq!(fs_err::read_dir(path("target")).unwrap().count(), 0, "{name}");
        crosswheel::scratch::removal::remove(path("work")).unwrap();
        fs_err::create_dir(path("work")).unwrap();
    }
}
