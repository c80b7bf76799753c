//! How a workspace takes the package in: MODULE.bazel, WORKSPACE, .bazelrc, and the page that explains it. Knows
//! nothing of what the targets are, but their names.

use super::bazel_platform::BazelPlatform;
use super::build_file::UNPLACED;
use super::marker::{HEADER, MARKER};
use super::model::{BazelModel, BazelVersion};
use super::syntax::quote;
use crate::contract::{CONTRACT, MNEMONIC};

/// The module of Bazel's own platforms; from here on all that we name is in it.
const PLATFORMS_MODULE: &str = "bazel_dep(name = \"platforms\", version = \"0.0.11\")";

impl BazelModel {
    /// What precedes the colon in labels of the package's targets: `//platforms`.
    pub(super) fn label_prefix(&self) -> String {
        format!("//{}", self.package)
    }

    /// What precedes the colon in labels of the fallback for Bazel 4.
    pub(super) fn unplaced_prefix(&self) -> String {
        format!("//{}", self.file_path("unplaced"))
    }

    /// The path of a file of the package, from the workspace's root.
    fn file_path(&self, file: &str) -> String {
        if self.package.is_empty() { file.to_owned() } else { format!("{}/{file}", self.package) }
    }
}

/// Includable from Bazel 7.2 on.
pub(super) fn module_file(model: &BazelModel, places: &[BazelPlatform]) -> String {
    let package = model.label_prefix();
    let platforms: Vec<String> = places
        .iter()
        .map(|place| format!("    {},\n", quote(&format!("{package}:{}", place.name))))
        .collect();
    format!(
        "{HEADER}#\n\
         # In MODULE.bazel, from Bazel 7.2 on (before that, copy the lines below):\n\
         #     {PLATFORMS_MODULE}\n\
         #     include(\"{package}:crosswheel.MODULE.bazel\")\n\n\
         register_execution_platforms(\n{})\n\n\
         register_toolchains({})\n",
        platforms.concat(),
        quote(&format!("{package}:all")),
    )
}

/// A macro, since WORKSPACE files cannot include others.
pub(super) fn workspace_bzl(model: &BazelModel, places: &[BazelPlatform]) -> String {
    let package = model.label_prefix();
    let unplaced = model.unplaced_prefix();
    let line = |label: String| format!("        {},\n", quote(&label));
    let platforms: String = places.iter().map(|place| line(format!("{package}:{}", place.name))).collect();
    let fallback = if model.versions.contains(&BazelVersion::V4_2) {
        format!(
            "\n    # Bazel 4 has no optional toolchains. Last, so that nothing lands there that has another place.\n    \
             if not hasattr(config_common, \"toolchain_type\"):\n        \
             native.register_execution_platforms(\"{package}:{UNPLACED}\")\n        \
             native.register_toolchains(\"{unplaced}:all\")\n"
        )
    } else {
        String::new()
    };
    format!(
        "{HEADER}\n\"\"\"Registers the platforms of this package, and what places builds on them.\n\n\
         In WORKSPACE:\n\n    load(\"{package}:workspace.bzl\", \"register_platforms\")\n\n    register_platforms()\n\"\"\"\n\n\
         # It makes no targets that could have a name.\n\
         # buildifier: disable=unnamed-macro\n\
         def register_platforms():\n    \
         \"\"\"Call it after everything else that registers execution platforms.\"\"\"\n    \
         native.register_execution_platforms(\n{platforms}    )\n    \
         native.register_toolchains({})\n{fallback}",
        quote(&format!("{package}:all")),
    )
}

/// To be imported by the workspace's .bazelrc.
pub(super) fn bazelrc(model: &BazelModel, places: &[BazelPlatform]) -> String {
    let package = model.label_prefix();
    let platforms: Vec<String> = places.iter().map(|place| format!("{package}:{}", place.name)).collect();
    format!(
        "{HEADER}#\n\
         # In .bazelrc:\n\
         #     import %workspace%/{}\n\
         \n\
         # With --config=crosswheel, wheels are built by workers, and never on this machine by itself.\n\
         build:crosswheel --strategy={MNEMONIC}=remote\n\
         \n\
         # Where the workers are: `crosswheel serve`, or any other server of the Remote Execution API.\n\
         # build:crosswheel --remote_executor=grpc://127.0.0.1:8980\n\
         \n\
         # Instead of registering the platforms in MODULE.bazel or WORKSPACE:\n\
         # build --extra_execution_platforms={}\n\
         # build --extra_toolchains={package}:all\n",
        model.file_path("crosswheel.bazelrc"),
        platforms.join(","),
    )
}

/// The same for Bazel 4.2, which needs more.
pub(super) fn bazelrc_4_2(model: &BazelModel) -> String {
    format!(
        "{HEADER}#\n\
         # In .bazelrc, for Bazel 4.2 instead of crosswheel.bazelrc:\n\
         #     import %workspace%/{}\n\
         import %workspace%/{}\n\
         \n\
         # Later versions have them without being asked.\n\
         common --experimental_exec_groups\n",
        model.file_path("crosswheel-4.2.bazelrc"),
        model.file_path("crosswheel.bazelrc"),
    )
}

/// The page for people.
pub(super) fn readme(model: &BazelModel, places: &[BazelPlatform]) -> String {
    let package = model.label_prefix();
    let first = &places[0].name;
    let rows: String = places
        .iter()
        .map(|place| {
            let property =
                |(name, value): &(String, String)| format!("`{}`", cell(&format!("{name}={value}")));
            let properties: Vec<String> = place.properties.iter().map(property).collect();
            format!("| `{package}:{}` | {} |\n", place.name, properties.join(" "))
        })
        .collect();
    let mut registration = String::new();
    if model.versions.iter().any(|version| version.has_modules()) {
        registration += &format!(
            "MODULE.bazel (from Bazel 7.2 on; before that, copy the lines of crosswheel.MODULE.bazel):\n\n    \
             {PLATFORMS_MODULE}\n    include(\"{package}:crosswheel.MODULE.bazel\")\n\n"
        );
    }
    if model.versions.iter().any(|version| version.has_workspace()) {
        registration += &format!(
            "WORKSPACE, where that is in use:\n\n    load(\"{package}:workspace.bzl\", \
             \"register_platforms\")\n\n    register_platforms()\n\n"
        );
    }
    registration +=
        &format!(".bazelrc:\n\n    import %workspace%/{}\n", model.file_path("crosswheel.bazelrc"));
    if model.versions.contains(&BazelVersion::V4_2) {
        let path = model.file_path("crosswheel-4.2.bazelrc");
        registration += &format!("\nBazel 4.2 takes this one instead:\n\n    import %workspace%/{path}\n");
    }
    format!(
        "<!-- {MARKER} -->\n\n# Platforms for crosswheel\n\n\
         Wheels are built from sdists on an execution platform that is like the target platform: operating system, \
         processor,\nC library, and Python where the model names one.\n\n\
         | platform | what workers must offer |\n|---|---|\n{rows}\n\
         ## Registering it\n\n{registration}\n\
         ## Using it\n\n    \
         load(\"{package}:defs.bzl\", \"py_sdist_wheel\", \"py_wheel_platforms\")\n\n    \
         py_sdist_wheel(\n        name = \"cowsay\",\n        src = \"cowsay-6.0.tar.gz\",\n        \
         build_wheels = glob([\"wheelhouse/*.whl\"]),\n    )\n\n    \
         py_wheel_platforms(\n        name = \"cowsay_everywhere\",\n        wheel = \":cowsay\",\n    )\n\n\
         With the address of an executor (`crosswheel serve` prints it):\n\n    \
         bazel build --config=crosswheel --remote_executor=grpc://127.0.0.1:8980 :cowsay_everywhere\n    \
         bazel build --config=crosswheel --remote_executor=grpc://127.0.0.1:8980 \
         --platforms={package}:{first} :cowsay\n\n\
         Each wheel is a directory: the file under its real name, and report.json. Workers must take contract {CONTRACT} of \
         `crosswheel wheel`: upgrade workers before you generate this package anew.\n",
    )
}

/// Text for a cell of a table, in one line.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('`', "'").replace(['\n', '\t'], " ")
}
