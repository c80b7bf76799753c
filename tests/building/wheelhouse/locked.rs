//! A project with a uv.lock of ours, whose packages are in the local index.

use crate::index::{Server, sha256};
use crate::run::Place;
use crate::support::packages::{Project, wheel};

/// A package of the lock.
pub struct Locked {
    pub name: String,
    pub version: String,
    /// File name and bytes.
    pub sdist: Option<(String, Vec<u8>)>,
    pub wheels: Vec<(String, Vec<u8>)>,
    pub dependencies: Vec<String>,
}

impl Locked {
    /// One with a pure wheel and nothing else.
    pub fn wheel(name: &str, version: &str) -> Self {
        let file_name = format!("{}-{version}-py3-none-any.whl", name.replace('-', "_"));
        let wheels = vec![(file_name, wheel(&name.replace('-', "_"), version))];
        Self { sdist: None, wheels, ..Self::named(name, version) }
    }

    /// One with an sdist and nothing else.
    pub fn sdist(project: &Project) -> Self {
        let sdist = Some((project.file_name(), project.sdist()));
        let dependencies = project.requires_dist.iter().map(|name| (*name).to_owned()).collect();
        Self { sdist, dependencies, ..Self::named(project.name, project.version) }
    }

    pub fn named(name: &str, version: &str) -> Self {
        let (name, version) = (name.to_owned(), version.to_owned());
        Self { name, version, sdist: None, wheels: Vec::new(), dependencies: Vec::new() }
    }

    /// The `[[package]]`, with its files on `server`.
    fn text(&self, server: &Server) -> String {
        let file = |(name, bytes): &(String, Vec<u8>)| {
            server.add_file(name, bytes);
            format!("{{ url = \"{}/files/{name}\", hash = \"sha256:{}\" }}", server.url(""), sha256(bytes))
        };
        let mut text = format!(
            "[[package]]\nname = \"{}\"\nversion = \"{}\"\nsource = {{ registry = \"{}\" }}\n",
            self.name,
            self.version,
            server.index()
        );
        let dependencies: Vec<_> =
            self.dependencies.iter().map(|name| format!("{{ name = \"{name}\" }}")).collect();
        text += &format!("dependencies = [{}]\n", dependencies.join(", "));
        if let Some(sdist) = &self.sdist {
            text += &format!("sdist = {}\n", file(sdist));
        }
        let wheels: Vec<_> = self.wheels.iter().map(file).collect();
        text + &format!("wheels = [{}]\n\n", wheels.join(", "))
    }
}

/// Writes `project/`: a pyproject.toml with `settings` at its end, and the lock of something virtual that depends on all of
/// `packages`. Returns its path.
pub fn write_project(place: &Place, server: &Server, packages: &[Locked], settings: &str) -> String {
    let names: Vec<_> = packages.iter().map(|package| format!("{{ name = \"{}\" }}", package.name)).collect();
    let packages: String = packages.iter().map(|package| package.text(server)).collect();
    let lock = format!(
        "version = 1\nrevision = 3\nrequires-python = \">=3.8\"\n\n{packages}\
         [[package]]\nname = \"project\"\nversion = \"0.1\"\nsource = {{ virtual = \".\" }}\n\
         dependencies = [{}]\n\n[package.optional-dependencies]\nnone = []\n",
        names.join(", ")
    );
    place.write("project/uv.lock", lock);
    let pyproject = format!(
        "[project]\nname = \"project\"\nversion = \"0.1\"\nrequires-python = \">=3.8\"\n\
         dependencies = []\n\n[tool.uv]\n{settings}\n"
    );
    place.write("project/pyproject.toml", pyproject);
    place.text("project")
}

/// A status of each distribution, by name.
pub fn statuses(document: &serde_json::Value) -> Vec<(String, String)> {
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let results = document["distributions"].as_array().unwrap().iter();
    results.map(|result| (text(&result["name"]), text(&result["status"]))).collect()
}

/// That of one name.
pub fn status(document: &serde_json::Value, name: &str) -> String {
    statuses(document).into_iter().find(|(found, _)| found == name).unwrap_or_else(|| panic!("{document}")).1
}
