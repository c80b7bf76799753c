//! Makes a wheelhouse of plans: keeps what is there, fetches what can be fetched, builds the rest. What fails stops
//! nothing else. Knows nothing of how the plans came about, nor of the files that say what is there.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Instant;

use parking_lot::Mutex;
use pep440_rs::Version;
use pep508_rs::PackageName;

use super::first_then_rest::first_then_rest;
use super::identity::{check_file_name, check_identity, check_project, title, version_of_wheel};
use super::package_settings::PackageSettings;
use super::planned::{DistributionOrigin, PlannedDistribution, PlannedFile, TargetPlan};
use super::record::{HowMade, OriginKind, OriginRecord, WheelRecord, WheelhouseRecord};
use super::results::{DistributionResult, DistributionStatus};
use super::tally::{Doing, Tally};
use super::wheel_needs::WheelNeeds;
use crate::build::builder::Builder;
use crate::build::builders::Builders;
use crate::build::cache::KeyBuilder;
use crate::build::customisation::Customisation;
use crate::build::inputs::hashes::RequiredHashes;
use crate::build::inputs::sdists::{Sdist, SdistOrigin};
use crate::build::inputs::source::Source;
use crate::build::progress::Task;
use crate::build::resolve::lock::LockedSdist;
use crate::build::results::SourceStatus;
use crate::build::shared_builds::{Delivered, SharedBuilds};
use crate::build::side_by_side::side_by_side;
use crate::build::wheel_cache::publish;
use crate::contract::{Failure, FailureClass, Report};
use crate::digest::Sha256;
use crate::platform::Target;
use crate::scratch::file::FileAccess;

/// Files fetched at a time: more than servers like to see from one client does not help.
const FETCHES: usize = 8;

/// The directory of the wheelhouse with what failed builds put out.
const LOGS: &str = "logs";

/// What is made, and of what.
pub(super) struct Making<'a> {
    builders: &'a Builders,
    settings: &'a PackageSettings,
    /// What was there.
    record: &'a WheelhouseRecord,
    items: Vec<Item<'a>>,
    results: Vec<OnceLock<DistributionResult>>,
    /// Of everything that is in place or about to be.
    names: Mutex<HashMap<String, Sha256>>,
    locks: Mutex<Vec<LockedSdist>>,
    notes: Mutex<Vec<String>>,
    tally: Tally<'a>,
}

/// A distribution for a target.
struct Item<'a> {
    /// Of the destination.
    index: usize,
    plan: &'a TargetPlan,
    planned: &'a PlannedDistribution,
}

/// What is built from one source in one way.
struct Group<'a> {
    origin: &'a DistributionOrigin,
    customisation: Customisation,
    sdist: OnceLock<Result<Sdist, Failure>>,
    builds: SharedBuilds<'a>,
    /// The items, that of the target that is built first at the front.
    items: Vec<usize>,
}

/// What has come of all of it.
pub(super) struct Made {
    /// In the order of the plans.
    pub(super) results: Vec<DistributionResult>,
    /// What goes into the lock file.
    pub(super) locks: Vec<LockedSdist>,
    /// What somebody should know.
    pub(super) notes: Vec<String>,
}

/// A wheel in its place.
struct InPlace {
    status: DistributionStatus,
    record: WheelRecord,
}

impl<'a> Making<'a> {
    /// What is made of `plans`, each with the index of its destination, where `record` says what was there.
    pub(super) fn new(
        builders: &'a Builders,
        plans: &'a [(usize, TargetPlan)],
        settings: &'a PackageSettings,
        record: &'a WheelhouseRecord,
    ) -> Self {
        let items: Vec<Item> = plans
            .iter()
            .flat_map(|(index, plan)| {
                plan.distributions.iter().map(|planned| Item { index: *index, plan, planned })
            })
            .collect();
        Self {
            builders,
            settings,
            record,
            results: items.iter().map(|_| OnceLock::new()).collect(),
            names: Mutex::default(),
            locks: Mutex::default(),
            notes: Mutex::default(),
            tally: Tally::new(&builders.run.progress, items.len()),
            items,
        }
    }

    /// Makes it.
    pub(super) fn make(self) -> Made {
        let groups = self.groups();
        let fetches = self.fetches();
        self.tally.kept(self.results.iter().filter(|result| result.get().is_some()).count());
        let run = &*self.builders.run;
        let is_file = |group: &Group| matches!(group.origin, DistributionOrigin::Sdist(_));
        if groups.iter().any(|group| is_file(group) && !group.items.is_empty())
            && run.options.remote.is_none()
        {
            run.executor.begin();
        }
        self.say_what_waits(&groups);
        let sizes: Vec<usize> = groups.iter().map(|group| group.items.len()).collect();
        std::thread::scope(|scope| {
            scope.spawn(|| side_by_side(&fetches, FETCHES, |_, items| self.fetch_for(items)));
            first_then_rest(&sizes, run.options.jobs, |group, member| {
                self.build_for(&groups[group], groups[group].items[member]);
            });
        });
        // Not before: a build that fails may be about to write there. It stays unless it is empty.
        let _ = std::fs::remove_dir(run.options.out.join(LOGS));
        let results = self.results.into_iter().filter_map(OnceLock::into_inner).collect();
        Made { results, locks: self.locks.into_inner(), notes: self.notes.into_inner() }
    }

    /// What has to be built, by what it is built from and how. What is there already is a result, and may be shared.
    fn groups(&self) -> Vec<Group<'a>> {
        let mut groups: Vec<Group<'a>> = Vec::new();
        for index in self.builders.order() {
            for (number, item) in self.items.iter().enumerate().filter(|(_, item)| item.index == index) {
                let origin = &item.planned.origin;
                if matches!(origin, DistributionOrigin::Wheel(_)) {
                    continue;
                }
                let customisation = self.settings.of(&item.planned.name, item.plan);
                let is_same =
                    |group: &Group| *group.origin == *origin && group.customisation == customisation;
                let position = groups.iter().position(is_same).unwrap_or_else(|| {
                    let builds = SharedBuilds::new(self.builders);
                    let sdist = OnceLock::new();
                    let group = Group { origin, customisation, sdist, builds, items: Vec::new() };
                    groups.push(group);
                    groups.len() - 1
                });
                let group = &mut groups[position];
                // Of a tree it can only be told once it is an sdist.
                let known = match origin {
                    DistributionOrigin::Sdist(file) => file.sha256,
                    DistributionOrigin::Wheel(_) | DistributionOrigin::Tree(_) => None,
                };
                match known.and_then(|sha256| self.kept_build(item, group, sha256, None)) {
                    Some(kept) => self.end(number, Ok(kept), None, Instant::now()),
                    None => group.items.push(number),
                }
            }
        }
        groups
    }

    /// The wheels that have to be fetched, each with the items that it is for. What is there already is a result.
    fn fetches(&self) -> Vec<Vec<usize>> {
        let mut fetches: Vec<(&PlannedFile, Vec<usize>)> = Vec::new();
        for (number, item) in self.items.iter().enumerate() {
            let DistributionOrigin::Wheel(file) = &item.planned.origin else { continue };
            if let Some(kept) = self.kept_wheel(item, file) {
                self.end(number, Ok(kept), None, Instant::now());
                continue;
            }
            match fetches.iter_mut().find(|(other, _)| *other == file) {
                Some((_, items)) => items.push(number),
                None => fetches.push((file, vec![number])),
            }
        }
        fetches.into_iter().map(|(_, items)| items).collect()
    }

    fn say_what_waits(&self, groups: &[Group]) {
        for group in groups {
            let Some((first, others)) = group.items.split_first() else { continue };
            let first = self.items[*first].plan.target;
            for other in others {
                let item = &self.items[*other];
                let (title, target) = (title(item.planned), item.plan.target);
                let line = format!("{title} {target}: waits for {first}, whose wheel may be shared");
                self.builders.run.progress.event(&line);
            }
        }
    }

    // --- What is there already ---

    /// What the record says of an item, if the wheel is still what it says.
    fn recorded(&self, item: &Item) -> Option<&WheelRecord> {
        let there = self.record.target(item.plan.target, &item.plan.python.name)?;
        let name = item.planned.name.to_string();
        let record = there.wheels.iter().find(|wheel| wheel.name == name)?;
        self.is_in_place(&record.file_name, record.sha256).then_some(record)
    }

    fn is_in_place(&self, file_name: &str, sha256: Sha256) -> bool {
        let run = &*self.builders.run;
        let path = run.options.out.join(file_name);
        path.is_file() && run.sdists.digest(&path).is_ok_and(|found| found == sha256)
    }

    fn kept_wheel(&self, item: &Item, file: &PlannedFile) -> Option<InPlace> {
        let record = match self.recorded(item).filter(|record| record.key == fetched_key(file)) {
            Some(record) => WheelRecord { reason: item.planned.reason.clone(), ..record.clone() },
            // The record may be gone, or of a time before this was planned.
            None => {
                let sha256 = file.sha256.filter(|sha256| self.is_in_place(&file.file_name, *sha256))?;
                self.fetched_record(item, file, sha256).ok()?
            }
        };
        self.claim(&record.file_name, record.sha256).ok()?;
        Some(InPlace { status: DistributionStatus::Kept, record })
    }

    fn kept_build(
        &self,
        item: &Item,
        group: &Group,
        sdist: Sha256,
        origin: Option<&SdistOrigin>,
    ) -> Option<InPlace> {
        let run = &*self.builders.run;
        if run.options.rebuild || run.options.update_lock {
            return None;
        }
        let record = self.recorded(item)?;
        let builder = self.builders.builder(item.index, &run.progress.task("")).ok()?;
        if record.key != self.built_key(builder, sdist, origin, &group.customisation, &[]).ok()?
            || (run.options.no_share && record.shared_from.is_some())
        {
            return None;
        }
        self.claim(&record.file_name, record.sha256).ok()?;
        if let Some(report) = &record.report {
            let built_for = record.shared_from.unwrap_or(item.plan.target);
            let worker = record.worker.clone().unwrap_or_default();
            group.builds.add(built_for, report.clone(), worker, record.path(&run.options.out));
        }
        let record = WheelRecord { reason: item.planned.reason.clone(), ..record.clone() };
        Some(InPlace { status: DistributionStatus::Kept, record })
    }

    /// What a wheel built by `builder` depends on: also what decides what it is built with, which is its entry in the lock
    /// or else the settings.
    fn built_key(
        &self,
        builder: &Builder,
        sdist: Sha256,
        origin: Option<&SdistOrigin>,
        customisation: &Customisation,
        locks: &[LockedSdist],
    ) -> Result<Sha256, Failure> {
        let entry = builder.lock_text(sdist, origin, locks);
        let planned = builder.planned_key(sdist, customisation);
        let settings = match &entry {
            Some(_) => None,
            None => Some(self.builders.run.resolution_settings_key()?.to_string()),
        };
        let key = KeyBuilder::default().part("build", planned.to_string());
        Ok(key.parts("lock", entry).parts("settings", settings).finish())
    }

    // --- Fetching ---

    fn fetch_for(&self, items: &[usize]) {
        let Some(first) = items.first().map(|number| &self.items[*number]) else { return };
        let DistributionOrigin::Wheel(file) = &first.planned.origin else { return };
        let (start, run) = (Instant::now(), &*self.builders.run);
        self.tally.begins(Doing::Fetching);
        let task = run.progress.task(file.file_name.as_str());
        let checked: Vec<_> =
            items.iter().map(|number| check_file_name(self.items[*number].planned, file)).collect();
        let wrong = checked.iter().find_map(|checked| checked.clone().err());
        let fetched = match wrong.filter(|_| checked.iter().all(Result::is_err)) {
            Some(failure) => Err(failure),
            None => self.fetch(file, &task),
        };
        drop(task);
        for (number, checked) in items.iter().zip(checked) {
            let item = &self.items[*number];
            let ended = checked.and(fetched.clone()).and_then(|sha256| {
                let record = self.fetched_record(item, file, sha256)?;
                Ok(InPlace { status: DistributionStatus::Fetched, record })
            });
            self.end(*number, ended, None, start);
        }
        self.tally.ended(Doing::Fetching, &self.results_of(items));
    }

    /// Puts the wheel into its place.
    fn fetch(&self, file: &PlannedFile, task: &Task) -> Result<Sha256, Failure> {
        let run = &*self.builders.run;
        run.interrupt.check()?;
        let url = run.http.credentials().absorb(&file.place);
        let (path, sha256) = run.fetch(&url, file.sha256, &file.file_name, task)?;
        RequiredHashes::of(file.other_hash.as_ref())?.check(&path, sha256)?;
        self.claim(&file.file_name, sha256)?;
        // What is in the cache is this user's alone.
        let access = Some(FileAccess::Umask);
        publish(&path, sha256, &run.options.out, access, &run.sdists, &run.interrupt)?;
        Ok(sha256)
    }

    fn fetched_record(
        &self,
        item: &Item,
        file: &PlannedFile,
        sha256: Sha256,
    ) -> Result<WheelRecord, Failure> {
        let path = self.builders.run.options.out.join(&file.file_name);
        let (version, size_bytes) = (version_of_wheel(item.planned, file)?, fs_err::metadata(&path)?.len());
        let needs = WheelNeeds::of(&self.builders.run, &path, sha256, item.plan.target);
        if let Some((name, version)) = &needs.project {
            check_project(item.planned, &file.file_name, name, version)?;
        }
        if let Some(reason) = needs.unknown {
            self.notes.lock().push(format!("{} could not be looked into: {reason}", file.file_name));
        }
        Ok(WheelRecord {
            name: item.planned.name.to_string(),
            version: version.to_string(),
            file_name: file.file_name.clone(),
            sha256,
            size_bytes,
            how: HowMade::Fetched,
            origin: self.origin_record(OriginKind::Wheel, file.place.as_str(), Some(sha256)),
            reason: item.planned.reason.clone(),
            shared_from: None,
            worker: None,
            glibc_floor: needs.glibc_floor,
            foreign_libraries: needs.foreign_libraries,
            report: None,
            key: fetched_key(file),
        })
    }

    fn origin_record(&self, kind: OriginKind, place: &str, sha256: Option<Sha256>) -> OriginRecord {
        let place = self.builders.run.http.credentials().redact(place);
        OriginRecord { kind, place, sha256, commit: None }
    }

    // --- Building ---

    fn build_for(&self, group: &Group, number: usize) {
        let item = &self.items[number];
        let (start, run) = (Instant::now(), &*self.builders.run);
        self.tally.begins(Doing::Building);
        let task = run.progress.logged_task(self.builders.label(&title(item.planned), item.index));
        let ended = self.build(group, item, &task);
        let log = self.keep_log(item, ended.as_ref().err(), &task.log());
        drop(task);
        self.end(number, ended, log, start);
        self.tally.ended(Doing::Building, &self.results_of(&[number]));
    }

    fn build(&self, group: &Group, item: &Item, task: &Task) -> Result<InPlace, Failure> {
        let run = &*self.builders.run;
        run.interrupt.check()?;
        let builder = self.builders.builder(item.index, task)?;
        let sdist = group
            .sdist
            .get_or_init(|| self.acquire(group, item.index, task))
            .as_ref()
            .map_err(Clone::clone)?;
        if matches!(group.origin, DistributionOrigin::Tree(_))
            && let Some(kept) = self.kept_build(item, group, sdist.sha256, sdist.origin.as_ref())
        {
            return Ok(kept);
        }
        let check = |report: &Report| {
            check_identity(item.planned, report)?;
            self.claim(&report.file_name, report.sha256)
        };
        let delivered = group.builds.deliver(item.index, sdist, &group.customisation, check, task)?;
        let record = self.built_record(item, builder, sdist, group, &delivered)?;
        self.locks.lock().extend(delivered.locks);
        let status = match delivered.status {
            SourceStatus::Cached => DistributionStatus::Cached,
            SourceStatus::Shared => DistributionStatus::Shared,
            SourceStatus::Built | SourceStatus::Skipped | SourceStatus::Failed => DistributionStatus::Built,
        };
        Ok(InPlace { status, record })
    }

    fn acquire(&self, group: &Group, index: usize, task: &Task) -> Result<Sdist, Failure> {
        let run = &*self.builders.run;
        match group.origin {
            DistributionOrigin::Sdist(file) | DistributionOrigin::Wheel(file) => {
                task.stage("fetching the sdist");
                let url = run.http.credentials().absorb(&file.place);
                let sdist = run.fetched_sdist(&url, file.sha256, task)?;
                RequiredHashes::of(file.other_hash.as_ref())?.check(&sdist.path, sdist.sha256)?;
                Ok(sdist)
            }
            DistributionOrigin::Tree(source) => {
                let source = Source::parse_place(source, Path::new("/"))?.0;
                self.builders.builder(index, task)?.acquire(source, &group.customisation, task)
            }
        }
    }

    fn built_record(
        &self,
        item: &Item,
        builder: &Builder,
        sdist: &Sdist,
        group: &Group,
        delivered: &Delivered,
    ) -> Result<WheelRecord, Failure> {
        let report = &delivered.report;
        let kind = match group.origin {
            DistributionOrigin::Sdist(_) | DistributionOrigin::Wheel(_) => OriginKind::Sdist,
            DistributionOrigin::Tree(_) => OriginKind::Tree,
        };
        let commit = sdist.origin.as_ref().and_then(|origin| origin.place.commit.clone());
        let origin = self.origin_record(kind, &group.origin.place(), Some(sdist.sha256));
        let origin = OriginRecord { commit, ..origin };
        let key = self.built_key(
            builder,
            sdist.sha256,
            sdist.origin.as_ref(),
            &group.customisation,
            &delivered.locks,
        )?;
        Ok(WheelRecord {
            name: item.planned.name.to_string(),
            version: report.version.clone(),
            file_name: report.file_name.clone(),
            sha256: report.sha256,
            size_bytes: report.size_bytes,
            how: HowMade::Built,
            origin,
            reason: item.planned.reason.clone(),
            shared_from: delivered.shared_from,
            worker: Some(delivered.worker.clone()).filter(|worker| !worker.is_empty()),
            glibc_floor: report.glibc_floor,
            foreign_libraries: report.foreign_libraries.clone(),
            report: Some(report.clone()),
            key,
        })
    }

    // --- Ending ---

    /// Fails if a wheel of this name, and with other bytes, is in the wheelhouse already, or about to be.
    fn claim(&self, file_name: &str, sha256: Sha256) -> Result<(), Failure> {
        let mut names = self.names.lock();
        match names.insert(file_name.to_owned(), sha256) {
            Some(other) if other != sha256 => {
                names.insert(file_name.to_owned(), other);
                let message = format!(
                    "{file_name} would be two different files: one with sha256 {other}, and one with {sha256}"
                );
                Err(Failure::new(FailureClass::WheelRefused, message).with_hint(
                    "nothing in its name tells them apart; make a wheelhouse for each target, with an --out of its own",
                ))
            }
            _ => Ok(()),
        }
    }

    fn end(&self, number: usize, ended: Result<InPlace, Failure>, log: Option<PathBuf>, start: Instant) {
        let item = &self.items[number];
        let run = &*self.builders.run;
        let seconds = start.elapsed().as_secs_f64();
        let (target, name) = (item.plan.target, item.planned.name.to_string());
        let result = match ended {
            Ok(InPlace { status, record }) => DistributionResult {
                target,
                name,
                version: Some(record.version.clone()),
                status,
                wheel: Some(record.path(&run.options.out)),
                record: Some(record),
                failure: None,
                log: None,
                seconds,
            },
            Err(failure) => DistributionResult {
                target,
                name,
                version: item.planned.version.as_ref().map(Version::to_string),
                status: DistributionStatus::Failed,
                wheel: None,
                record: None,
                failure: Some(run.redacted(failure)),
                log,
                seconds,
            },
        };
        // Nobody else has this number.
        let _ = self.results[number].set(result);
    }

    fn results_of(&self, items: &[usize]) -> Vec<&DistributionResult> {
        items.iter().filter_map(|number| self.results[*number].get()).collect()
    }

    /// Puts what a failed build has put out where it can be read, and takes away what one before it has. Nobody is to be
    /// kept from the failure by a file that cannot be written.
    fn keep_log(&self, item: &Item, failure: Option<&Failure>, text: &str) -> Option<PathBuf> {
        let run = &*self.builders.run;
        let directory = run.options.out.join(LOGS);
        let path =
            directory.join(log_name(&item.planned.name, item.planned.version.as_ref(), item.plan.target));
        if failure.is_none() || text.is_empty() {
            let _ = fs_err::remove_file(&path);
            return None;
        }
        let text = run.http.credentials().redact(text);
        fs_err::create_dir_all(&directory).ok()?;
        run.interrupt.publishing(|| super::record::write_if_changed(&path, text.as_bytes())).ok()?;
        Some(path)
    }
}

fn log_name(name: &PackageName, version: Option<&Version>, target: Target) -> String {
    let version = version.map(|version| format!("-{version}")).unwrap_or_default();
    format!("{name}{version}-{target}.log")
}

fn fetched_key(file: &PlannedFile) -> Sha256 {
    KeyBuilder::default()
        .part("wheel", &file.file_name)
        .part("place", file.place.as_str())
        .parts("sha256", file.sha256.map(|sha256| sha256.to_string()))
        .finish()
}

/// The directory that wheels are put into, absolute and without links, as results name them.
pub(super) fn out_directory(out: &Path) -> Result<PathBuf, Failure> {
    fs_err::create_dir_all(out)?;
    Ok(fs_err::canonicalize(out)?)
}
