//! Evaluates what is generated, with stand-ins for Bazel's globals (`bazel.star`) that refuse what Bazel refuses.
#![allow(unsafe_code)] // in what the derives for values of the interpreter expand to

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;

use allocative::Allocative;
use crosswheel::starlark::Emission;
use serde_json::Value as Json;
use starlark::any::ProvidesStaticType;
use starlark::environment::{FrozenModule, GlobalsBuilder, LibraryExtension, Module};
use starlark::eval::{Evaluator, ReturnFileLoader};
use starlark::starlark_module;
use starlark::syntax::{AstModule, Dialect};
use starlark::values::list::ListRef;
use starlark::values::none::NoneType;
use starlark::values::tuple::TupleRef;
use starlark::values::{
    Coerce, Freeze, FreezeResult, Freezer, Heap, NoSerialize, StarlarkPagable, StarlarkValue, Trace, Value,
    ValueError, ValueLike, starlark_value,
};
use starlark::{starlark_complex_value, starlark_simple_value};

/// The language of .bzl files.
const BZL: Dialect =
    Dialect { enable_keyword_only_arguments: true, enable_load_reexport: false, ..Dialect::Standard };

/// The language of BUILD and MODULE files.
const BUILD: Dialect = Dialect { enable_def: false, enable_lambda: false, ..Dialect::Standard };

/// What the evaluated files said: a kind, and a value.
pub type Notes = Vec<(String, Json)>;

/// A generated package, loaded by one version of Bazel.
pub struct Package {
    bazel: i32,
    modules: HashMap<String, FrozenModule>,
    /// What each BUILD, MODULE and WORKSPACE file said.
    pub notes: HashMap<String, Notes>,
}

impl Package {
    /// Evaluates every file of `emission` that Bazel reads, as version `bazel` does.
    pub fn load(emission: &Emission, package: &str, bazel: i32) -> Result<Self, String> {
        let mut loaded = Self { bazel, modules: HashMap::new(), notes: HashMap::new() };
        let stand_ins =
            [("bazel.star", include_str!("bazel.star")), ("analysis.star", include_str!("analysis.star"))];
        for (name, source) in stand_ins {
            loaded.evaluate(name, source, &Dialect::Extended)?;
        }
        // In the order in which they load each other.
        for name in ["platforms.bzl", "defs.bzl", "workspace.bzl"] {
            if let Some(file) = emission.files.iter().find(|file| file.path == name) {
                let (module, _) = loaded.evaluate(name, &file.text, &BZL)?;
                loaded.modules.insert(format!(":{name}"), module.clone());
                loaded.modules.insert(format!("//{package}:{name}"), module);
            }
        }
        for file in &emission.files {
            let name = file.path.as_str();
            if name.ends_with("BUILD.bazel") || name.ends_with("MODULE.bazel") {
                let (_, notes) = loaded.evaluate(name, &file.text, &BUILD)?;
                loaded.notes.insert(name.to_owned(), notes);
            } else if name.ends_with(".bzl") && !loaded.modules.contains_key(name) {
                return Err(format!("{name} was not evaluated"));
            }
        }
        Ok(loaded)
    }

    /// Evaluates `script`, which may load the package's files, and analyse targets by `analysis.star`.
    pub fn run(&mut self, script: &str) -> Result<Notes, String> {
        Ok(self.evaluate("script", script, &Dialect::Extended)?.1)
    }

    fn evaluate(
        &mut self,
        name: &str,
        source: &str,
        dialect: &Dialect,
    ) -> Result<(FrozenModule, Notes), String> {
        let problem = |error: starlark::Error| format!("{name}: {error:?}");
        let ast = AstModule::parse(name, source.to_owned(), dialect).map_err(problem)?;
        let globals = GlobalsBuilder::extended_by(&[LibraryExtension::StructType]).with(natives);
        let globals = globals.with(|builder| builder.set("BAZEL", self.bazel)).build();
        let noted = Noted::default();
        let known = self.modules.iter().map(|(name, module)| (name.as_str(), module)).collect();
        let module = Module::with_temp_heap(|module| -> starlark::Result<FrozenModule> {
            for name in ["bazel.star", "analysis.star"] {
                if let Some(stand_ins) = self.modules.get(name) {
                    module.import_public_symbols(stand_ins);
                }
            }
            {
                let loader = ReturnFileLoader { modules: &known };
                let mut evaluator = Evaluator::new(&module);
                evaluator.set_loader(&loader);
                evaluator.extra = Some(&noted);
                evaluator.eval_module(ast, &globals)?;
            }
            Ok(module.freeze()?)
        });
        let module = module.map_err(problem)?;
        self.modules.insert(name.to_owned(), module.clone());
        let notes = noted.0.into_inner();
        Ok((module, notes))
    }
}

#[derive(Debug, Default, ProvidesStaticType)]
struct Noted(RefCell<Notes>);

#[starlark_module]
fn natives(builder: &mut GlobalsBuilder) {
    /// Hands a fact to the test.
    fn note<'v>(kind: &str, value: Value<'v>, eval: &mut Evaluator<'v, '_, '_>) -> anyhow::Result<NoneType> {
        let noted = eval.extra.and_then(|extra| extra.downcast_ref::<Noted>()).expect("it was set");
        noted.0.borrow_mut().push((kind.to_owned(), serde_json::from_str(&value.to_json()?)?));
        Ok(NoneType)
    }

    /// A label that `Label` has checked.
    fn make_label(text: &str, bazel: i32) -> anyhow::Result<Label> {
        Ok(Label { text: text.to_owned(), bazel })
    }

    /// A target with providers: pairs of provider and instance.
    fn make_target<'v>(label: Value<'v>, providers: Value<'v>) -> anyhow::Result<Target<'v>> {
        Ok(TargetGen { label, providers })
    }
}

/// A label, whose text differs between versions of Bazel.
#[derive(Debug, ProvidesStaticType, NoSerialize, StarlarkPagable, Allocative)]
struct Label {
    text: String,
    bazel: i32,
}
starlark_simple_value!(Label);

impl fmt::Display for Label {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The main repository's name, in its canonical form.
        let repository = if self.bazel > 4 && self.text.starts_with("//") { "@@" } else { "" };
        write!(formatter, "{repository}{}", self.text)
    }
}

#[starlark_value(type = "Label")]
impl<'v> StarlarkValue<'v> for Label {
    fn get_attr(&self, attribute: &str, heap: Heap<'v>) -> Option<Value<'v>> {
        let name = self.text.rsplit([':', '/']).next().unwrap_or_default();
        (attribute == "name").then(|| heap.alloc(name))
    }

    fn equals(&self, other: Value<'v>) -> starlark::Result<bool> {
        Ok(other.downcast_ref::<Self>().is_some_and(|other| other.text == self.text))
    }

    fn write_hash(&self, hasher: &mut starlark::collections::StarlarkHasher) -> starlark::Result<()> {
        std::hash::Hash::hash(&self.text, hasher);
        Ok(())
    }
}

/// A configured target: `target[Provider]`, `Provider in target`, `target.label`.
#[derive(Debug, Trace, Coerce, ProvidesStaticType, NoSerialize, StarlarkPagable, Allocative)]
#[repr(C)]
struct TargetGen<V> {
    label: V,
    providers: V,
}
starlark_complex_value!(Target);

impl<V: fmt::Display> fmt::Display for TargetGen<V> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "<target {}>", self.label)
    }
}

impl<'v> Freeze for Target<'v> {
    type Frozen = FrozenTarget;

    fn freeze(self, freezer: &Freezer) -> FreezeResult<FrozenTarget> {
        Ok(TargetGen { label: self.label.freeze(freezer)?, providers: self.providers.freeze(freezer)? })
    }
}

impl<'v, V: ValueLike<'v>> TargetGen<V> {
    fn find(&self, provider: Value<'v>) -> Option<Value<'v>> {
        let pairs = ListRef::from_value(self.providers.to_value())?;
        let pairs = pairs.iter().filter_map(TupleRef::from_value);
        let mut found = pairs.filter(|pair| pair.content()[0].ptr_eq(provider));
        found.next().map(|pair| pair.content()[1])
    }
}

#[starlark_value(type = "Target")]
impl<'v, V: ValueLike<'v>> StarlarkValue<'v> for TargetGen<V>
where
    Self: ProvidesStaticType<'v>,
{
    fn at(&self, index: Value<'v>, _heap: Heap<'v>) -> starlark::Result<Value<'v>> {
        self.find(index).ok_or_else(|| ValueError::KeyNotFound(index.to_repr()).into())
    }

    fn is_in(&self, other: Value<'v>) -> starlark::Result<bool> {
        Ok(self.find(other).is_some())
    }

    fn get_attr(&self, attribute: &str, _heap: Heap<'v>) -> Option<Value<'v>> {
        (attribute == "label").then(|| self.label.to_value())
    }
}
