//! What a host has of emulation. Only looks; changes nothing.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::binfmt_entry::BinfmtEntry;
use super::elf::program_interpreter;
use super::emulator::{Emulator, emulator_names, is_executable};
use crate::platform::Arch;

/// Where the kernel's own binfmt_misc belongs.
pub const BINFMT_MISC: &str = "/proc/sys/fs/binfmt_misc";

/// The first kernel in which a user namespace can have a binfmt_misc of its own.
const PRIVATE_SINCE: (u32, u32) = (6, 7);

/// How programs for an architecture run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EmulationSupport {
    /// By the processor.
    Native,
    /// By an emulator that is registered with the kernel, for any root file system.
    Registered {
        /// Its entry in binfmt_misc.
        name: String,
        interpreter: PathBuf,
    },
    /// By this emulator, where a sandbox registers it for itself.
    Private(Emulator),
    /// Not at all.
    Impossible(EmulationObstacle),
}

/// What stands in the way of emulation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmulationObstacle {
    /// What is missing, in plain words.
    pub problem: String,
    /// The command that mends it, or what to do.
    pub mend: String,
}

/// Where to look.
#[derive(Debug, Clone)]
pub struct EmulationHost {
    pub arch: Arch,
    /// Where binfmt_misc is mounted, if it is.
    pub binfmt_misc: PathBuf,
    /// Directories of programs, as in `PATH`.
    pub search_path: OsString,
    /// `uname -r`.
    pub kernel: String,
}

impl EmulationHost {
    /// This one. Programs are also looked for where distributions have them.
    pub fn this() -> Self {
        let mut search_path = std::env::var_os("PATH").unwrap_or_default();
        search_path.push(":/usr/local/bin:/usr/bin:/bin");
        let kernel =
            fs_err::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned();
        Self { arch: Arch::host(), binfmt_misc: BINFMT_MISC.into(), search_path, kernel }
    }

    /// How programs for `arch` run in a root file system that is not this host's.
    pub fn support(&self, arch: Arch) -> EmulationSupport {
        if arch == self.arch {
            return EmulationSupport::Native;
        }
        let entry = self.entry(arch);
        if let Some((name, entry)) = &entry
            && entry.enabled
            && entry.works_in_any_root()
        {
            return EmulationSupport::Registered {
                name: name.clone(),
                interpreter: entry.interpreter.clone(),
            };
        }
        let emulator = match self.emulator(arch) {
            Ok(emulator) => emulator,
            Err(obstacle) => return EmulationSupport::Impossible(obstacle),
        };
        if self.has_private_binfmt() {
            return EmulationSupport::Private(emulator);
        }
        let (major, minor) = PRIVATE_SINCE;
        let registered = match entry {
            None => "is not registered with the kernel".to_owned(),
            Some((name, entry)) if !entry.enabled => format!("is registered as {name}, but switched off"),
            Some((name, _)) => format!("is registered as {name}, but without the flag F"),
        };
        EmulationSupport::Impossible(EmulationObstacle {
            problem: format!(
                "{} {registered}, and Linux {} is older than {major}.{minor}, so sandboxes cannot register it",
                emulator.name(),
                self.kernel
            ),
            mend: format!("as root: crosswheel doctor --register-binfmt={}", arch.property()),
        })
    }

    /// The emulator for `arch` on this host.
    ///
    /// # Errors
    /// None is found that could be used in another root file system.
    pub fn emulator(&self, arch: Arch) -> Result<Emulator, EmulationObstacle> {
        let mend = "apt-get install qemu-user-static".to_owned();
        let names = emulator_names(arch);
        let mut dynamic = None;
        for name in &names {
            let directories = std::env::split_paths(&self.search_path).filter(|path| path.is_absolute());
            for program in directories.map(|directory| directory.join(name)) {
                if !is_executable(&program) {
                    continue;
                }
                match program_interpreter(&program) {
                    Ok(None) => {
                        let emulator = Emulator { arch, program };
                        if emulator.registration().is_some() {
                            return Ok(emulator);
                        }
                    }
                    Ok(Some(_)) => dynamic = Some(program),
                    // A script, say.
                    Err(_) => {}
                }
            }
        }
        let problem = match dynamic {
            Some(program) => format!(
                "{} is dynamically linked, so it could not start in another root file system",
                program.display()
            ),
            None => format!("neither {} nor {} is on PATH", names[0], names[1]),
        };
        Err(EmulationObstacle { problem, mend })
    }

    /// Whether user namespaces can have a binfmt_misc of their own, as far as the version tells.
    pub fn has_private_binfmt(&self) -> bool {
        let mut numbers = self.kernel.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
        matches!((numbers.next(), numbers.next()), (Some(major), Some(minor)) if (major, minor) >= PRIVATE_SINCE)
    }

    /// Whether the kernel's own binfmt_misc can be seen.
    pub fn has_binfmt_misc(&self) -> bool {
        self.binfmt_misc.join("register").exists()
    }

    /// The entry that runs programs for `arch`, and its name; an enabled one with the flag F before others.
    pub fn entry(&self, arch: Arch) -> Option<(String, BinfmtEntry)> {
        let mut entries = entries(&self.binfmt_misc);
        entries.retain(|(_, entry)| entry.runs(arch));
        entries.sort_by_key(|(name, entry)| (!(entry.enabled && entry.works_in_any_root()), name.clone()));
        entries.into_iter().next()
    }
}

/// All entries of a binfmt_misc; none if it is not mounted.
fn entries(directory: &Path) -> Vec<(String, BinfmtEntry)> {
    let Ok(files) = fs_err::read_dir(directory) else { return Vec::new() };
    let names = files.flatten().filter_map(|file| file.file_name().into_string().ok());
    let read = |name: String| {
        // Whether binfmt_misc is on at all, and the file that takes new entries.
        if ["status", "register"].contains(&name.as_str()) {
            return None;
        }
        let text = fs_err::read_to_string(directory.join(&name)).ok()?;
        Some((name, BinfmtEntry::parse(&text).ok()?))
    };
    let switched_on =
        fs_err::read_to_string(directory.join("status")).is_ok_and(|status| status.trim() != "disabled");
    let mut entries: Vec<_> = names.filter_map(read).collect();
    entries.iter_mut().for_each(|(_, entry)| entry.enabled &= switched_on);
    entries
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use tempfile::TempDir;

    use super::*;
    use crate::emulation::binfmt_entry::tests::AARCH64;

    /// A host of amd64 with these entries and these programs.
    fn host(kernel: &str, entries: &[(&str, &str)], programs: &[(&str, &[u8])]) -> (TempDir, EmulationHost) {
        let directory = tempfile::tempdir().unwrap();
        let (binfmt, bin) = (directory.path().join("binfmt_misc"), directory.path().join("bin"));
        fs_err::create_dir(&binfmt).unwrap();
        fs_err::create_dir(&bin).unwrap();
        for (name, text) in entries {
            fs_err::write(binfmt.join(name), text).unwrap();
        }
        for (name, bytes) in programs {
            fs_err::write(bin.join(name), bytes).unwrap();
            fs_err::set_permissions(bin.join(name), PermissionsExt::from_mode(0o755)).unwrap();
        }
        let host = EmulationHost {
            arch: Arch::Amd64,
            binfmt_misc: binfmt,
            search_path: bin.into_os_string(),
            kernel: kernel.into(),
        };
        (directory, host)
    }

    /// An ELF program without program headers, so without a loader.
    fn static_program() -> Vec<u8> {
        let mut header = crate::emulation::emulator::magic(Arch::Amd64).to_vec();
        header.resize(64, 0);
        header
    }

    fn problem(support: EmulationSupport) -> String {
        match support {
            EmulationSupport::Impossible(EmulationObstacle { problem, mend }) => format!("{problem}: {mend}"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_registration_of_the_host_is_used_if_it_works_in_any_root() {
        let registered = [("status", "enabled\n"), ("qemu-aarch64", AARCH64), ("register", "")];
        let (_directory, with) = host("6.1.0-9-amd64", &registered, &[]);
        assert_eq!(with.support(Arch::Amd64), EmulationSupport::Native);
        let interpreter = "/usr/libexec/qemu-binfmt/aarch64-binfmt-P".into();
        assert_eq!(
            with.support(Arch::Arm64),
            EmulationSupport::Registered { name: "qemu-aarch64".into(), interpreter }
        );

        let without = AARCH64.replace("POF", "PO");
        let program = static_program();
        let programs = [("qemu-aarch64-static", program.as_slice())];
        for (entry, said) in
            [(without, "without the flag F"), (AARCH64.replace("enabled", "disabled"), "switched off")]
        {
            let (_directory, old) =
                host("6.1.0", &[("status", "enabled\n"), ("qemu-aarch64", &entry)], &programs);
            let problem = problem(old.support(Arch::Arm64));
            assert!(problem.contains(said) && problem.contains("--register-binfmt=arm64"), "{problem}");
        }
        let (_directory, off) =
            host("6.1.0", &[("status", "disabled\n"), ("qemu-aarch64", AARCH64)], &programs);
        assert!(problem(off.support(Arch::Arm64)).contains("switched off"));
    }

    #[test]
    fn a_new_kernel_needs_an_emulator_and_nothing_else() {
        let program = static_program();
        let (directory, new) = host("6.7-rc1", &[], &[("qemu-aarch64", &program)]);
        let program = directory.path().join("bin/qemu-aarch64");
        assert_eq!(
            new.support(Arch::Arm64),
            EmulationSupport::Private(Emulator { arch: Arch::Arm64, program })
        );
        let old = EmulationHost { kernel: "6.6.99".into(), ..new.clone() };
        assert!(problem(old.support(Arch::Arm64)).contains("is older than 6.7"));
        let without = EmulationHost { search_path: "/nonexistent:relative".into(), ..new };
        let problem = problem(without.support(Arch::Arm64));
        assert!(problem.contains("neither qemu-aarch64-static nor"), "{problem}");
        assert!(problem.contains("apt-get install qemu-user-static"), "{problem}");
    }

    #[test]
    fn an_emulator_that_needs_a_loader_is_of_no_use() {
        let dynamic = fs_err::read("/proc/self/exe").unwrap();
        let script = b"#!/bin/sh\n";
        let (_directory, host) =
            host("6.18.1", &[], &[("qemu-aarch64-static", script), ("qemu-aarch64", &dynamic)]);
        let Err(EmulationObstacle { problem, .. }) = host.emulator(Arch::Arm64) else {
            panic!("it was taken")
        };
        assert!(problem.contains("is dynamically linked"), "{problem}");
    }

    #[test]
    fn versions_of_kernels_are_compared_by_number() {
        let has = |kernel: &str| {
            EmulationHost { kernel: kernel.into(), ..EmulationHost::this() }.has_private_binfmt()
        };
        for (kernel, expected) in [
            ("6.7.0", true),
            ("6.10.1-amd64", true),
            ("10.0", true),
            ("6.6.1", false),
            ("5.15", false),
            ("", false),
        ] {
            assert_eq!(has(kernel), expected, "{kernel}");
        }
    }
}
