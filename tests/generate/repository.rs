//! The package that this repository has is what its model makes.

use std::path::Path;

use crosswheel::starlark::{Emission, ModelFile, PackageDirectory};

#[test]
fn platforms_is_what_its_model_makes() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("platforms");
    let text = fs_err::read_to_string(directory.join("crosswheel.toml")).unwrap();
    let model = ModelFile::parse(&text).unwrap().complete(String::new()).unwrap();
    let differences = PackageDirectory::new(directory).differences(&Emission::of(&model)).unwrap();
    assert_eq!(
        differences,
        [],
        "run: crosswheel generate bazel --out platforms --model platforms/crosswheel.toml"
    );
}
