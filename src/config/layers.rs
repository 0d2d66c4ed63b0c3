//! Finds the layers, reads them, and puts them over each other.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};
use zeroize::Zeroizing;

use super::env_file;
use super::keys::{
    AdminConfig, CommitterConfig, DeployerConfig, EngineConfig, EthConfig, L2Config, PROVER, ProposerConfig,
    ProverClientConfig, ProverServerConfig, RebuildConfig, SEQUENCER, StoreConfig, WatcherConfig,
    WitnessConfig,
};
use super::problem::{ConfigErrors, Problem, Source};
use super::raw::Raw;
use super::schema::{Filled, Key, Schema, Section, Shown};

/// A configuration file larger than this is refused unread.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Where the layers come from.
#[derive(Clone, Default)]
pub struct LoadOptions {
    /// Directory that relative paths of the options and variables start from; empty is the working directory.
    pub directory: PathBuf,
    /// The TOML file (`--config`), instead of the one that the variables name.
    pub file: Option<PathBuf>,
    /// Directory of the TOML file, instead of `CONFIGS_PATH`.
    pub configs_path: Option<PathBuf>,
    /// The `.env` file (`--env-file`), instead of `ENV_FILE` (`PROVER_ENV_FILE` for the prover client) or `.env`
    /// (`.env.prover`).
    pub env_file: Option<PathBuf>,
    /// The environment.
    pub env: BTreeMap<String, String>,
    /// `section.key` and value of each `--set` flag.
    pub flags: Vec<(String, String)>,
}

impl LoadOptions {
    /// The environment of this process, and nothing else.
    #[must_use]
    pub fn from_process() -> Self {
        let env = std::env::vars_os()
            .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
            .collect();
        Self { env, ..Self::default() }
    }
}

impl fmt::Debug for LoadOptions {
    /// Without values, which may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoadOptions")
            .field("directory", &self.directory)
            .field("file", &self.file)
            .field("configs_path", &self.configs_path)
            .field("env_file", &self.env_file)
            .field("env", &format_args!("{} variables", self.env.len()))
            .field("flags", &self.flags.iter().map(|(key, _)| key).collect::<Vec<_>>())
            .finish()
    }
}

/// Where everything came from.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Origins {
    file: Option<PathBuf>,
    env_file: Option<PathBuf>,
    sources: BTreeMap<(&'static str, &'static str), Source>,
    /// Keys with a value that is a mistake.
    mistaken: BTreeSet<(&'static str, &'static str)>,
    warnings: Vec<String>,
}

impl Origins {
    pub(super) fn source(&self, section: &str, name: &str) -> Source {
        self.sources.get(&(section, name)).cloned().unwrap_or(Source::Default)
    }

    /// How many keys come from where.
    pub(super) fn summary(&self) -> String {
        let count = |of: fn(&Source) -> bool| self.sources.values().filter(|source| of(source)).count();
        let file = |path: &Option<PathBuf>, otherwise: &str| {
            path.as_ref().map_or_else(|| otherwise.to_owned(), |path| path.display().to_string())
        };
        [
            (count(|s| matches!(s, Source::File { .. })), file(&self.file, "no configuration file")),
            (count(|s| matches!(s, Source::EnvFile { .. })), file(&self.env_file, "no .env file")),
            (count(|s| matches!(s, Source::Environment { .. })), "the environment".to_owned()),
            (count(|s| matches!(s, Source::Flag)), "flags".to_owned()),
        ]
        .map(|(count, place)| format!("{count} from {place}"))
        .join(", ")
    }

    pub(super) fn is_mistaken(&self, section: &str, name: &str) -> bool {
        self.mistaken.contains(&(section, name))
    }
}

/// The configuration of the sequencer: checked value by value and in their relations. What a command cannot do
/// without comes from [`Config::load_for_run`] and [`Config::load_for_deploy`], or afterwards from
/// [`Config::require_for_run`] and [`Config::require_for_deploy`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    /// `[deployer]`
    pub deployer: DeployerConfig,
    /// `[eth]`
    pub eth: EthConfig,
    /// `[watcher]`
    pub watcher: WatcherConfig,
    /// `[proposer]`
    pub proposer: ProposerConfig,
    /// `[committer]`
    pub committer: CommitterConfig,
    /// `[prover_server]`
    pub prover_server: ProverServerConfig,
    /// `[engine]`
    pub engine: EngineConfig,
    /// `[witness]`
    pub witness: WitnessConfig,
    /// `[l2]`
    pub l2: L2Config,
    /// `[store]`
    pub store: StoreConfig,
    /// `[admin]`
    pub admin: AdminConfig,
    /// `[rebuild]`
    pub rebuild: RebuildConfig,
    pub(super) origins: Origins,
}

impl Config {
    /// Reads all layers and checks types, limits and relations of what is there.
    ///
    /// # Errors
    /// All mistakes at once. A file that was named and is missing is one of them.
    pub fn load(options: &LoadOptions) -> Result<Self, ConfigErrors> {
        let (config, problems) = Self::read(options);
        ConfigErrors::check(problems)?;
        Ok(config)
    }

    /// The configuration as far as it could be read, and every mistake in it.
    pub(super) fn read(options: &LoadOptions) -> (Self, Vec<Problem>) {
        let (resolved, origins, mut problems) = load(&SEQUENCER, options);
        let mut config = Self {
            deployer: Filled::from_resolved(&resolved),
            eth: Filled::from_resolved(&resolved),
            watcher: Filled::from_resolved(&resolved),
            proposer: Filled::from_resolved(&resolved),
            committer: Filled::from_resolved(&resolved),
            prover_server: Filled::from_resolved(&resolved),
            engine: Filled::from_resolved(&resolved),
            witness: Filled::from_resolved(&resolved),
            l2: Filled::from_resolved(&resolved),
            store: Filled::from_resolved(&resolved),
            admin: Filled::from_resolved(&resolved),
            rebuild: Filled::from_resolved(&resolved),
            origins,
        };
        problems.extend(config.relations());
        let warnings = config.risks();
        config.origins.warnings.extend(warnings);
        (config, problems)
    }

    pub(super) fn shown(&self) -> Vec<Shown> {
        let mut shown = self.deployer.shown();
        shown.extend(self.eth.shown());
        shown.extend(self.watcher.shown());
        shown.extend(self.proposer.shown());
        shown.extend(self.committer.shown());
        shown.extend(self.prover_server.shown());
        shown.extend(self.engine.shown());
        shown.extend(self.witness.shown());
        shown.extend(self.l2.shown());
        shown.extend(self.store.shown());
        shown.extend(self.admin.shown());
        shown.extend(self.rebuild.shown());
        shown
    }

    /// The TOML file that was read.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        self.origins.file.as_deref()
    }

    /// The `.env` file that was read.
    #[must_use]
    pub fn env_file(&self) -> Option<&Path> {
        self.origins.env_file.as_deref()
    }

    /// What is allowed and probably not meant. Each is one sentence without secrets.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.origins.warnings
    }

    /// Where the value of a key comes from; [`Source::Default`] for an unknown key.
    #[must_use]
    pub fn source(&self, section: &str, name: &str) -> Source {
        self.origins.source(section, name)
    }
}

/// The configuration of the prover client.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProverConfig {
    /// `[prover_client]`
    pub client: ProverClientConfig,
    pub(super) origins: Origins,
}

impl ProverConfig {
    /// As [`Config::load`], of the prover client's file and variables.
    ///
    /// # Errors
    /// All mistakes at once.
    pub fn load(options: &LoadOptions) -> Result<Self, ConfigErrors> {
        let (config, problems) = Self::read(options);
        ConfigErrors::check(problems)?;
        Ok(config)
    }

    pub(super) fn read(options: &LoadOptions) -> (Self, Vec<Problem>) {
        let (resolved, origins, problems) = load(&PROVER, options);
        (Self { client: Filled::from_resolved(&resolved), origins }, problems)
    }

    /// The TOML file that was read.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        self.origins.file.as_deref()
    }

    /// The `.env` file that was read.
    #[must_use]
    pub fn env_file(&self) -> Option<&Path> {
        self.origins.env_file.as_deref()
    }

    /// Where the value of a key comes from; [`Source::Default`] for an unknown key.
    #[must_use]
    pub fn source(&self, name: &str) -> Source {
        self.origins.source("prover_client", name)
    }

    /// What is allowed and probably not meant.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.origins.warnings
    }
}

/// The value of each key from its highest layer. Keys with a mistake in any layer are left out.
#[derive(Default)]
pub(super) struct Resolved {
    values: BTreeMap<(&'static str, &'static str), (Raw, Source)>,
}

impl Resolved {
    pub(super) fn raw(&self, section: &'static str, name: &'static str) -> Option<&Raw> {
        self.values.get(&(section, name)).map(|(raw, _)| raw)
    }
}

/// A value for a key in one layer.
struct Candidate {
    key: &'static Key,
    /// Key, alias or variable, as written.
    spelled: String,
    raw: Raw,
    source: Source,
}

fn load(schema: &'static Schema, options: &LoadOptions) -> (Resolved, Origins, Vec<Problem>) {
    let mut problems = Vec::new();
    let mut warnings = Vec::new();

    let env_path =
        options.env_file.clone().or_else(|| value(&options.env, schema.env_file_variable).map(PathBuf::from));
    let env_named = env_path.is_some();
    let env_path = options.directory.join(env_path.unwrap_or_else(|| schema.default_env_file.into()));
    let env_text = read_file(
        &env_path,
        env_named,
        |line| Source::EnvFile { path: env_path.clone(), line },
        &mut problems,
    );
    let variables =
        env_text.as_deref().map(|text| env_file::parse(text, &env_path, &mut problems)).unwrap_or_default();

    let lookup = |name: &str| {
        value(&options.env, name).map(str::to_owned).or_else(|| {
            let found = variables.iter().find(|variable| variable.name == name && !variable.value.is_empty());
            found.map(|variable| variable.value.to_string())
        })
    };
    let directory = options.configs_path.clone().or_else(|| lookup("CONFIGS_PATH").map(PathBuf::from));
    let name = lookup(schema.file_variable);
    let file_named = options.file.is_some() || directory.is_some() || name.is_some();
    let path = options.directory.join(options.file.clone().unwrap_or_else(|| {
        let name = name.unwrap_or_else(|| schema.default_file.to_owned());
        directory.unwrap_or_else(|| "configs".into()).join(name)
    }));
    let text = read_file(&path, file_named, |line| Source::File { path: path.clone(), line }, &mut problems);

    let mut broken = BTreeSet::new();
    let mut layers = Vec::new();
    if let Some(text) = &text {
        layers.push(read_toml(schema, text, &path, &mut broken, &mut problems));
    }
    layers.push(read_variables(
        schema,
        variables.iter().map(|variable| {
            let source = Source::EnvFile { path: env_path.clone(), line: variable.line };
            (variable.name.as_str(), variable.value.as_str(), source)
        }),
        &mut warnings,
    ));
    layers.push(read_variables(
        schema,
        options.env.iter().map(|(name, value)| {
            (name.as_str(), value.as_str(), Source::Environment { variable: name.clone() })
        }),
        &mut warnings,
    ));
    layers.push(read_flags(schema, &options.flags, &mut problems));

    let mut resolved = Resolved::default();
    for layer in layers {
        merge(layer, &mut resolved, &mut broken, &mut problems);
    }
    for (section, key) in schema.keys() {
        if let Some((_, source)) = resolved.values.get(&(section.name, key.name))
            && key.secret
            && let Some(warning) = exposure(section, key, source)
            && !warnings.contains(&warning)
        {
            warnings.push(warning);
        }
    }
    let origins = Origins {
        file: text.map(|_| path),
        env_file: env_text.map(|_| env_path),
        sources: resolved.values.iter().map(|(id, (_, source))| (*id, source.clone())).collect(),
        mistaken: broken,
        warnings,
    };
    resolved.values.retain(|id, _| !origins.mistaken.contains(id));
    (resolved, origins, problems)
}

/// A variable that is set and not empty.
fn value<'a>(env: &'a BTreeMap<String, String>, name: &str) -> Option<&'a str> {
    env.get(name).map(String::as_str).filter(|value| !value.is_empty())
}

/// How a secret from there can be seen by others, if it can.
fn exposure(section: &Section, key: &Key, source: &Source) -> Option<String> {
    match source {
        Source::File { path, .. } | Source::EnvFile { path, .. } if open_to_others(path) => {
            let path = path.display();
            Some(format!("{path} has secrets and can be read by other users: chmod 600 {path}"))
        }
        Source::Flag => {
            let variable = section.variables(key).into_iter().next().unwrap_or_default();
            let path = key.path();
            Some(format!(
                "{path} on the command line shows in the list of processes: use the variable {variable}"
            ))
        }
        Source::Default | Source::File { .. } | Source::EnvFile { .. } | Source::Environment { .. } => None,
    }
}

#[cfg(unix)]
fn open_to_others(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0)
}

#[cfg(not(unix))]
fn open_to_others(_path: &Path) -> bool {
    false
}

fn read_file(
    path: &Path,
    named: bool,
    source: impl Fn(Option<usize>) -> Source,
    problems: &mut Vec<Problem>,
) -> Option<Zeroizing<String>> {
    let mut report = |what: String, remedy: &str| {
        problems.push(Problem { source: source(None), key: None, what, remedy: remedy.to_owned() });
    };
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !named => return None,
        Err(error) => {
            report(
                format!("cannot be opened: {error}"),
                "check the path (--config, --env-file, CONFIGS_PATH and the file's variable) and its permissions; \
                 `ensemble config init` writes an example",
            );
            return None;
        }
    };
    let mut bytes = Zeroizing::new(Vec::new());
    if let Err(error) = file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes) {
        report(format!("cannot be read: {error}"), "name a file");
        return None;
    }
    if bytes.len() as u64 > MAX_FILE_BYTES {
        report(format!("is larger than {MAX_FILE_BYTES} bytes"), "name a configuration file");
        return None;
    }
    match std::str::from_utf8(&bytes) {
        Ok(text) => Some(Zeroizing::new(text.to_owned())),
        Err(error) => {
            let line = line_at(&line_ends(&bytes), error.valid_up_to());
            problems.push(Problem {
                source: source(Some(line)),
                key: None,
                what: "is not UTF-8 text".to_owned(),
                remedy: "save the file as UTF-8".to_owned(),
            });
            None
        }
    }
}

/// The line of a byte offset, counted from 1, by the offsets of the line ends.
fn line_at(line_ends: &[usize], offset: usize) -> usize {
    line_ends.partition_point(|end| *end < offset) + 1
}

fn line_ends(text: &[u8]) -> Vec<usize> {
    text.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(index, _)| index).collect()
}

fn read_toml(
    schema: &'static Schema,
    text: &str,
    path: &Path,
    broken: &mut BTreeSet<(&'static str, &'static str)>,
    problems: &mut Vec<Problem>,
) -> Vec<Candidate> {
    let (table, errors) = DeTable::parse_recoverable(text);
    let ends = line_ends(text.as_bytes());
    let at = |offset: usize| Source::File { path: path.to_owned(), line: Some(line_at(&ends, offset)) };
    let mut reader =
        TomlReader { schema, at: &at, problems, broken, torn: BTreeSet::new(), candidates: Vec::new() };
    for error in errors {
        let offset = error.span().map_or(0, |span| span.start);
        let source = at(offset);
        let Source::File { line: Some(line), .. } = &source else { continue };
        // One mistake can be several to the parser.
        if !reader.torn.insert(*line) {
            continue;
        }
        let start = if *line < 2 { 0 } else { ends.get(line - 2).map_or(text.len(), |end| end + 1) };
        let end = ends.get(line - 1).copied().unwrap_or(text.len());
        let written = text.get(start..end).unwrap_or_default();
        let blank = written.split_once('=').and_then(|(key, _)| {
            let key = key.trim();
            let bare = !key.is_empty()
                && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | ' '));
            (bare && key.contains(' ')).then(|| key.replace(' ', "_"))
        });
        // The parser's message has no text of the file in it; its Display would.
        reader.problems.push(Problem {
            source,
            key: None,
            what: format!("not TOML: {}", error.message()),
            remedy: blank.map_or_else(
                || "write `key = value`, texts in double quotes, one key per line".to_owned(),
                |key| format!("a key has no blanks: write `{key}`"),
            ),
        });
    }
    reader.document(table.get_ref());
    reader.candidates
}

struct TomlReader<'a> {
    schema: &'static Schema,
    at: &'a dyn Fn(usize) -> Source,
    problems: &'a mut Vec<Problem>,
    broken: &'a mut BTreeSet<(&'static str, &'static str)>,
    /// Lines with a syntax error.
    torn: BTreeSet<usize>,
    candidates: Vec<Candidate>,
}

impl TomlReader<'_> {
    fn document(&mut self, table: &DeTable<'_>) {
        for (name, value) in table {
            let text: &str = name.get_ref();
            let offset = name.span().start;
            match (self.schema.section(text), value.get_ref()) {
                (Some(section), DeValue::Table(keys)) => self.section(section, keys),
                (Some(section), _) => self.report(
                    offset,
                    Some(section.name.to_owned()),
                    "is a section, not a key".to_owned(),
                    format!("write [{}] on a line of its own and its keys below", section.name),
                ),
                (None, other) => match self.schema.flat.and_then(|flat| self.schema.section(flat)) {
                    Some(section) => self.key(section, text, offset, other),
                    None => self.unknown_root(text, offset, matches!(other, DeValue::Table(_))),
                },
            }
        }
    }

    fn section(&mut self, section: &'static Section, keys: &DeTable<'_>) {
        for (name, value) in keys {
            self.key(section, name.get_ref(), name.span().start, value.get_ref());
        }
    }

    fn key(&mut self, section: &'static Section, name: &str, offset: usize, value: &DeValue<'_>) {
        let source = (self.at)(offset);
        let torn = matches!(&source, Source::File { line: Some(line), .. } if self.torn.contains(line));
        match section.key(name) {
            Some(key) if torn => {
                self.broken.insert((section.name, key.name));
            }
            Some(key) => self.candidates.push(Candidate {
                key,
                spelled: format!("{}.{name}", section.name),
                raw: Raw::from_toml(value),
                source,
            }),
            None if torn => {}
            None => self.problems.push(unknown_key(self.schema, section, name, source)),
        }
    }

    fn unknown_root(&mut self, name: &str, offset: usize, is_table: bool) {
        if is_table {
            let names = || self.schema.sections.iter().map(|section| section.name);
            let remedy = if name == "prover_client" {
                format!("move it to a file of its own, {}", PROVER.default_file)
            } else if let Some(best) = similar(name, names()) {
                format!("did you mean [{best}]?")
            } else {
                format!("the sections are: {}", names().collect::<Vec<_>>().join(", "))
            };
            self.report(offset, Some(cut(name)), "there is no such section".to_owned(), remedy);
        } else {
            let owners: Vec<_> = self
                .schema
                .sections
                .iter()
                .filter(|s| s.key(name).is_some())
                .map(|s| format!("[{}]", s.name))
                .collect();
            let remedy = if owners.is_empty() {
                "write keys below the header of their section; `ensemble config init` shows all".to_owned()
            } else {
                format!("move it below the header {}", owners.join(" or "))
            };
            self.report(offset, Some(cut(name)), "a key outside of any section".to_owned(), remedy);
        }
    }

    fn report(&mut self, offset: usize, key: Option<String>, what: String, remedy: String) {
        let source = (self.at)(offset);
        if !matches!(&source, Source::File { line: Some(line), .. } if self.torn.contains(line)) {
            self.problems.push(Problem { source, key, what, remedy });
        }
    }
}

/// A name in a message: short and without control characters.
fn cut(name: &str) -> String {
    const MOST: usize = 48;
    let mut out: String = name.chars().take(MOST).flat_map(char::escape_debug).collect();
    if name.chars().nth(MOST).is_some() {
        out.push('…');
    }
    out
}

/// The most similar name, if it is similar enough for a slip.
fn similar<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // Far longer texts are no slip, and the comparison is quadratic.
    if name.chars().count() > 64 {
        return None;
    }
    let name = name.to_ascii_lowercase();
    names
        .map(|candidate| (strsim::jaro_winkler(&name, candidate), candidate))
        .filter(|(score, _)| *score >= 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

fn unknown_key(schema: &Schema, section: &Section, name: &str, source: Source) -> Problem {
    let here =
        || section.keys.iter().flat_map(|key| std::iter::once(key.name).chain(key.aliases.iter().copied()));
    let elsewhere =
        schema.sections.iter().find(|other| other.name != section.name && other.key(name).is_some());
    let remedy = if let Some(best) = similar(name, here()) {
        // Aliases help to find the key, but its name is what to write.
        let best = section.key(best).map_or(best, |key| key.name);
        format!("did you mean `{best}`?")
    } else if let Some(other) = elsewhere {
        format!("move it to [{}]", other.name)
    } else {
        let names: Vec<_> = section.keys.iter().map(|key| key.name).collect();
        format!("the keys of [{}] are: {}", section.name, names.join(", "))
    };
    Problem {
        source,
        key: Some(format!("{}.{}", section.name, cut(name))),
        what: "there is no such key".to_owned(),
        remedy,
    }
}

fn read_variables<'a>(
    schema: &'static Schema,
    variables: impl Iterator<Item = (&'a str, &'a str, Source)>,
    warnings: &mut Vec<String>,
) -> Vec<Candidate> {
    let mut known = BTreeMap::new();
    for (section, key) in schema.keys() {
        for name in section.variables(key) {
            known.insert(name, key);
        }
    }
    let others: BTreeSet<_> = [&SEQUENCER, &PROVER]
        .iter()
        .flat_map(|schema| {
            let keys = schema.keys().flat_map(|(section, key)| section.variables(key));
            keys.chain([schema.file_variable.to_owned(), schema.env_file_variable.to_owned()])
        })
        .collect();
    let mut candidates = Vec::new();
    for (name, value, source) in variables {
        if value.is_empty() {
            continue;
        }
        if let Some(key) = known.get(name) {
            candidates.push(Candidate { key, spelled: name.to_owned(), raw: Raw::loose(value), source });
        } else if !others.contains(name) && (10..=64).contains(&name.len()) {
            let slip = known.keys().find(|known| strsim::osa_distance(name, known) <= 2);
            if let Some(meant) = slip {
                warnings.push(format!(
                    "{source}: {} is not a variable of ensemble: did you mean {meant}?",
                    cut(name)
                ));
            }
        }
    }
    candidates
}

fn read_flags(
    schema: &'static Schema,
    flags: &[(String, String)],
    problems: &mut Vec<Problem>,
) -> Vec<Candidate> {
    // A later flag replaces an earlier one, as with every flag.
    let mut candidates: Vec<Candidate> = Vec::new();
    for (path, value) in flags {
        let path = path.trim();
        let (section, name) = match (path.split_once('.'), schema.flat) {
            (Some(parts), _) => parts,
            (None, Some(flat)) => (flat, path),
            (None, None) => ("", path),
        };
        let Some(section) = schema.section(section) else {
            let all = schema.sections.iter().map(|section| section.name);
            let owner = schema.sections.iter().find(|s| section.is_empty() && s.key(name).is_some());
            let remedy = match (owner, similar(section, all.clone())) {
                (Some(owner), _) => format!("write `{}.{name}=value`", owner.name),
                (None, Some(best)) => format!("did you mean `{best}.{}`?", cut(name)),
                (None, None) => {
                    format!(
                        "write `section.key=value`; the sections are: {}",
                        all.collect::<Vec<_>>().join(", ")
                    )
                }
            };
            problems.push(Problem {
                source: Source::Flag,
                key: Some(cut(path)),
                what: "there is no such section".to_owned(),
                remedy,
            });
            continue;
        };
        let Some(key) = section.key(name) else {
            problems.push(unknown_key(schema, section, name, Source::Flag));
            continue;
        };
        candidates.retain(|candidate| candidate.key.path() != key.path());
        candidates.push(Candidate { key, spelled: cut(path), raw: Raw::loose(value), source: Source::Flag });
    }
    candidates
}

fn merge(
    layer: Vec<Candidate>,
    resolved: &mut Resolved,
    broken: &mut BTreeSet<(&'static str, &'static str)>,
    problems: &mut Vec<Problem>,
) {
    let mut seen: BTreeMap<(&str, &str), (String, Raw)> = BTreeMap::new();
    for Candidate { key, spelled, raw, source } in layer {
        let id = (key.section, key.name);
        if let Some((first, value)) = seen.get(&id) {
            // Two spellings that agree do no harm.
            if *value != raw {
                broken.insert(id);
                problems.push(Problem {
                    source,
                    key: Some(key.path()),
                    what: format!("is set twice, as `{first}` and as `{spelled}`, to different values"),
                    remedy: format!("keep one of them, best `{}`", key.name),
                });
            }
            continue;
        }
        match (key.check)(&raw) {
            Ok(_) => {
                resolved.values.insert(id, (raw.clone(), source));
            }
            Err(mistake) => {
                broken.insert(id);
                let key = Some(key.path());
                problems.push(Problem { source, key, what: mistake.what, remedy: mistake.remedy });
            }
        }
        seen.insert(id, (spelled, raw));
    }
}
