use std::collections::BTreeSet;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;
use rustix::fs::{CWD, Mode, mkdirat, mkfifoat};
use rustix::process::{Gid, Uid};
use rustix::thread::{set_thread_res_gid, set_thread_res_uid};

use super::*;
use crate::waiting::scope;

fn open(path: &Path) -> OwnedFd {
    fs_err::File::open(path).unwrap().into_parts().0.into()
}

/// Makes so many directories, each in the one before; returns the last.
fn nest(top: &Path, name: &str, levels: usize) -> OwnedFd {
    (0..levels).fold(open(top), |parent, _| {
        mkdirat(&parent, name, Mode::RWXU).unwrap();
        openat(&parent, name, directory_flags(), Mode::empty()).unwrap()
    })
}

fn names(directory: &Path) -> BTreeSet<String> {
    let name = |entry: io::Result<fs_err::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    fs_err::read_dir(directory).unwrap().map(name).collect()
}

fn set_mode(path: &Path, mode: u32) {
    fs_err::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

/// Deeper than any path can be, and than a stack is for functions that call themselves.
#[test]
fn the_deepest_tree_is_gone_and_what_links_in_it_lead_to_is_not() {
    let directory = tempfile::tempdir().unwrap();
    fs_err::write(directory.path().join("precious"), "x").unwrap();
    let tree = directory.path().join("tree");
    fs_err::create_dir(&tree).unwrap();
    let deepest = nest(&tree, "a directory with a long name", 30_000);
    rustix::fs::symlinkat(directory.path(), &deepest, "link").unwrap();
    drop(deepest);
    remove(&tree).unwrap();
    remove(&tree).unwrap();
    assert_eq!(names(directory.path()), BTreeSet::from(["precious".to_owned()]));
}

/// What is moved to the top comes after what is there, or before it, as the file system likes.
#[test]
fn many_deep_trees_in_one_are_gone() {
    let directory = tempfile::tempdir().unwrap();
    let tree = directory.path().join("tree");
    for number in 0..40 {
        let top = tree.join(number.to_string());
        fs_err::create_dir_all(&top).unwrap();
        nest(&top, "d", 400);
    }
    remove(&tree).unwrap();
    assert!(names(directory.path()).is_empty());
}

#[test]
fn the_widest_directory_is_gone() {
    let directory = tempfile::tempdir().unwrap();
    let tree = directory.path().join("tree");
    fs_err::create_dir(&tree).unwrap();
    let wide = open(&tree);
    for number in 0..20_000 {
        let flags = OFlags::CREATE | OFlags::WRONLY;
        openat(&wide, format!("file number {number}"), flags, Mode::RUSR).unwrap();
        if number % 7 == 0 {
            mkdirat(&wide, format!("{number}"), Mode::RWXU).unwrap();
        }
    }
    remove_for_waiting([&tree]).unwrap();
    assert!(!tree.exists());
}

#[test]
fn what_is_no_directory_is_removed_and_a_link_is_not_followed() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    fs_err::create_dir(path("kept")).unwrap();
    fs_err::write(path("kept/precious"), "x").unwrap();
    fs_err::write(path("file"), "x").unwrap();
    symlink(path("kept"), path("link")).unwrap();
    remove_for_waiting([path("file"), path("link"), path("absent")]).unwrap();
    assert_eq!(names(directory.path()), BTreeSet::from(["kept".to_owned()]));
    assert!(path("kept/precious").exists());
}

/// Runs `test` with what an ordinary user may do to files, also if root runs the tests.
fn as_ordinary_user(test: impl FnOnce() + Send) {
    let work = || {
        if rustix::process::geteuid().is_root() {
            // Of this thread alone.
            let (group, user) = (Gid::from_raw(65534), Uid::from_raw(65534));
            set_thread_res_gid(group, group, group).unwrap();
            set_thread_res_uid(user, user, user).unwrap();
        }
        test();
    };
    scope("work as an ordinary user", |scope| scope.spawn(work).join()).unwrap();
}

/// Ordinary users cannot look into what was closed; root can.
#[test]
fn directories_that_were_closed_are_opened_up() {
    as_ordinary_user(|| {
        let directory = tempfile::tempdir().unwrap();
        let tree = directory.path().join("tree");
        let deep = tree.join(["d"; 40].join("/"));
        for mode in [0o000, 0o100, 0o400, 0o500, 0o600] {
            fs_err::create_dir_all(deep.join("inner")).unwrap();
            fs_err::write(deep.join("inner/file"), "x").unwrap();
            // From the inside out: the others have to be open until then.
            for path in deep.join("inner").ancestors().take_while(|path| path.starts_with(&tree)) {
                set_mode(path, mode);
            }
            assert!(mode == 0o500 || fs_err::read_dir(&deep).is_err(), "{mode:o}");
            remove(&tree).unwrap();
            assert!(!tree.exists(), "{mode:o}");
        }
    });
}

#[test]
fn what_cannot_be_removed_is_named_and_all_the_rest_goes() {
    as_ordinary_user(|| {
        let directory = tempfile::tempdir().unwrap();
        // What is around a tree is not opened up.
        let around = directory.path().join("around");
        fs_err::create_dir_all(around.join("tree/inner")).unwrap();
        set_mode(&around, 0o500);
        let error = remove(around.join("tree")).unwrap_err();
        assert_eq!((error.path, error.removed), (around.join("tree"), 1));
        assert_eq!(error.source.kind(), io::ErrorKind::PermissionDenied);
        set_mode(&around, 0o700);
    });
    // Not even root can.
    let error = remove("/proc/self/fdinfo").unwrap_err();
    assert!(error.path.starts_with("/proc/self/fdinfo"), "{error}");
}

#[test]
fn what_is_another_users_is_named_and_all_the_rest_goes() {
    if !rustix::process::geteuid().is_root() {
        // Only root can make it; the test above shows the same of a directory of one's own.
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let tree = directory.path().join("tree");
    let others = tree.join("one").join(["d"; 40].join("/")).join("others");
    set_mode(directory.path(), 0o777);
    as_ordinary_user(|| {
        fs_err::create_dir_all(others.parent().unwrap()).unwrap();
        fs_err::create_dir_all(tree.join("three/four")).unwrap();
    });
    fs_err::create_dir(&others).unwrap();
    fs_err::write(others.join("file"), "x").unwrap();
    as_ordinary_user(|| {
        let error = remove(&tree).unwrap_err();
        assert!(error.path.ends_with("others/file"), "{error}");
        assert!(error.to_string().contains("files and directories around it were removed"), "{error}");
        assert!(error.path.symlink_metadata().is_ok());
        assert_eq!(names(&tree).len(), 1);
    });
    remove(&tree).unwrap();
    assert!(!tree.exists());
}

/// Whoever keeps making things may win; we end all the same.
#[test]
fn a_race_against_somebody_who_makes_files_ends() {
    let directory = tempfile::tempdir().unwrap();
    let tree = directory.path().join("tree");
    let stop = AtomicBool::new(false);
    scope("a race against makers of files", |scope| {
        for maker in 0..3 {
            let (tree, stop) = (&tree, &stop);
            scope.spawn(move || {
                for number in 0_u64.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let place = tree.join(format!("{}/{}", number % 3, "d/".repeat(maker * 20)));
                    let _ = fs_err::create_dir_all(&place);
                    let _ = fs_err::write(place.join(format!("{number} of {maker}")), "x");
                }
            });
        }
        for _ in 0..10 {
            if let Err(error) = remove(&tree) {
                assert!(error.path.starts_with(&tree), "{error}");
                assert_eq!(error.source.kind(), io::ErrorKind::DirectoryNotEmpty, "{error}");
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    remove(&tree).unwrap();
    assert!(!tree.exists());
}

/// What a tree may hold.
#[derive(Debug, Clone)]
enum Shape {
    File,
    Fifo,
    Socket,
    LinkOut,
    Directory(u32, Vec<Shape>),
}

fn shape() -> impl Strategy<Value = Shape> {
    let leaf = prop_oneof![Just(Shape::File), Just(Shape::Fifo), Just(Shape::Socket), Just(Shape::LinkOut)];
    leaf.prop_recursive(24, 200, 6, |below| {
        let modes = prop::sample::select(vec![0o700, 0o000, 0o500, 0o400, 0o200, 0o1777]);
        (modes, prop::collection::vec(below, 0..6)).prop_map(|(mode, below)| Shape::Directory(mode, below))
    })
}

fn make(shape: &Shape, place: &Path, outside: &Path) {
    match shape {
        Shape::File => fs_err::write(place, "x").unwrap(),
        Shape::Fifo => mkfifoat(CWD, place, Mode::RUSR).unwrap(),
        // Its path must be short.
        Shape::Socket => {
            let socket = outside.join("socket");
            drop(UnixListener::bind(&socket).unwrap());
            fs_err::rename(socket, place).unwrap();
        }
        Shape::LinkOut => symlink(outside, place).unwrap(),
        Shape::Directory(mode, below) => {
            fs_err::create_dir(place).unwrap();
            for (number, shape) in below.iter().enumerate() {
                make(shape, &place.join(number.to_string()), outside);
            }
            set_mode(place, *mode);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn nothing_is_left_of_any_tree_and_all_is_left_around_it(shape in shape(), waiting: bool) {
        let directory = tempfile::tempdir().unwrap();
        let outside = directory.path().join("outside");
        fs_err::create_dir(&outside).unwrap();
        fs_err::write(outside.join("precious"), "x").unwrap();
        let tree = directory.path().join("tree");
        make(&shape, &tree, &outside);
        if waiting { remove_for_waiting([&tree]).unwrap() } else { remove(&tree).unwrap() }
        prop_assert_eq!(names(directory.path()), BTreeSet::from(["outside".to_owned()]));
        prop_assert_eq!(names(&outside), BTreeSet::from(["precious".to_owned()]));
    }
}

/// As the thread that hears a signal and the one that has made the directory do.
#[test]
fn two_who_remove_the_same_tree_leave_nothing_of_it() {
    for _ in 0..20 {
        let directory = tempfile::tempdir().unwrap();
        let tree = directory.path().join("tree");
        for wide in 0..30 {
            fs_err::create_dir_all(tree.join(format!("{wide}/{}", ["d"; 20].join("/")))).unwrap();
            fs_err::write(tree.join(format!("{wide}/d/file")), "x").unwrap();
        }
        scope("both to have removed it", |scope| {
            for _ in 0..2 {
                scope.spawn(|| remove(&tree).unwrap());
            }
        });
        assert!(!tree.exists());
    }
}
