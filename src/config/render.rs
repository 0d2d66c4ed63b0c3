//! What derives from the table for people: the example files, the reference page, `config show`.

use super::keys::{PROVER, SEQUENCER};
use super::layers::{Config, ProverConfig};
use super::problem::Source;
use super::schema::{Key, Schema, Section, Shown, Use};
use super::setting::{Range, Syntax};

/// Wraps words to lines of at most `width` characters.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.len() + 1 + word.len() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

fn comment(out: &mut String, text: &str) {
    for line in wrapped(text, 108) {
        out.push_str("# ");
        out.push_str(&line);
        out.push('\n');
    }
}

fn needed_by(key: &Key) -> Option<String> {
    let commands: Vec<_> =
        key.needed.iter().map(|command: &Use| format!("`{}`", command.command())).collect();
    (!commands.is_empty()).then(|| format!("Required by {}.", commands.join(" and ")))
}

/// `name = value` of the default, or of the example where there is none.
fn assignment(key: &Key) -> String {
    let text = (key.default)().unwrap_or_else(|| key.example.to_owned());
    format!("{} = {}", key.name, key.syntax.write(&text))
}

fn example_of(schema: &Schema, about: &str) -> String {
    let mut out = String::new();
    comment(&mut out, about);
    comment(
        &mut out,
        "Every line below is commented out. Values shown are the defaults, or examples where a key has none. The \
         private keys and addresses are those of the well-known development mnemonic: never use them on a public \
         network.",
    );
    comment(
        &mut out,
        "Each key can be set by the variable in brackets, in the environment or in the .env file, and by the flag \
         --set section.key=value. Flags win over the environment, the environment over .env, .env over this file.",
    );
    for section in schema.sections {
        out.push('\n');
        comment(&mut out, section.help);
        out.push_str(&format!("[{}]\n", section.name));
        for key in section.keys {
            let mut help = key.help.trim().to_owned();
            if let Some(needed) = needed_by(key) {
                help = format!("{help} {}", needed.replace('`', ""));
            }
            let variable = section.variables(key).into_iter().next().unwrap_or_default();
            comment(&mut out, &format!("{} [{variable}]", help.replace('`', "")));
            out.push_str(&format!("#{}\n", assignment(key)));
        }
    }
    out
}

/// `configs/sequencer_config_example.toml`: every key with its help, commented out.
#[must_use]
pub fn render_example() -> String {
    example_of(&SEQUENCER, "Configuration of the Ensemble sequencer: `ensemble run` and `ensemble deploy`.")
}

/// `configs/prover_client_config_example.toml`.
#[must_use]
pub fn render_prover_example() -> String {
    example_of(&PROVER, "Configuration of the prover client: `ensemble prover`.")
}

/// A cell of a Markdown table.
fn cell(text: &str) -> String {
    text.trim().replace('|', "\\|")
}

/// The type, with limits if it has any.
fn kind(key: &Key) -> String {
    let kind = if key.syntax == Syntax::List { format!("list of {}", key.kind) } else { key.kind.to_owned() };
    match key.range {
        Some(Range { min, max: u64::MAX, .. }) => format!("{kind}, at least {min}"),
        Some(Range { min, max, .. }) => format!("{kind}, {min} to {max}"),
        None => kind,
    }
}

fn table(out: &mut String, section: &Section) {
    out.push_str(&format!("## `[{}]`\n\n{}\n\n", section.name, section.help.trim()));
    out.push_str("| Key | Type | Default | Variable | Meaning |\n|---|---|---|---|---|\n");
    for key in section.keys {
        let default =
            (key.default)().map_or_else(String::new, |text| format!("`{}`", key.syntax.write(&text)));
        let mut variables = section.variables(key).into_iter();
        let variable = variables.next().unwrap_or_default();
        let mut meaning = key.help.trim().to_owned();
        if let Some(needed) = needed_by(key) {
            meaning = format!("{meaning} **{needed}**");
        }
        if !key.aliases.is_empty() {
            let aliases: Vec<_> = key.aliases.iter().map(|alias| format!("`{alias}`")).collect();
            meaning = format!("{meaning} Also: {}.", aliases.join(", "));
        }
        let more: Vec<_> = variables.map(|variable| format!("`{variable}`")).collect();
        if !more.is_empty() {
            meaning = format!("{meaning} Also as {}.", more.join(", "));
        }
        let (kind, default, meaning) = (cell(&kind(key)), cell(&default), cell(&meaning));
        out.push_str(&format!("| `{}` | {kind} | {default} | `{variable}` | {meaning} |\n", key.name));
    }
    out.push('\n');
}

/// `docs/configuration.md`: the reference page.
#[must_use]
pub fn render_markdown() -> String {
    let mut out = String::from(INTRODUCTION);
    for section in SEQUENCER.sections {
        table(&mut out, section);
    }
    out.push_str(PROVER_INTRODUCTION);
    for section in PROVER.sections {
        table(&mut out, section);
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

const INTRODUCTION: &str = "\
# Configuration

<!-- Generated from the table of keys in src/config/keys.rs. Do not edit. -->

```console
$ ensemble config init      # writes configs/sequencer_config.toml, every key with its help
$ ensemble config check     # all mistakes at once, each with its place and remedy
$ ensemble config show      # the effective values, where each one comes from, secrets masked
```

## Layers

Each layer wins over the one before:

1. defaults;
2. the TOML file: `--config FILE`, or `$CONFIGS_PATH/$SEQUENCER_CONFIG_FILE` (default
   `configs/sequencer_config.toml`);
3. the `.env` file: `--env-file FILE`, or `$ENV_FILE` (default `.env`);
4. the environment;
5. flags: `--set section.key=value`, once per key.

A file that was named must exist; a default one may be missing. `CONFIGS_PATH` and `SEQUENCER_CONFIG_FILE` may
stand in the `.env` file. Empty variables count as not set. In variables and flags, lists are separated by commas.
Relative paths start from the working directory.

Mistakes are errors, all reported at once, in every layer: unknown keys, wrong types, values out of range, one key
set twice, and values that contradict each other. The ones about relations:

- an `l1_address` must be the account of its `l1_private_key` (either may be left out);
- `committer` and `prover_server` must be different accounts: two senders on one account take each other's nonces;
- the bridge and the on-chain proposer are different contracts, and not the zero address;
- L1 and L2 have different chain ids;
- a verifier `0x00000000000000000000000000000000000000AA` needs `prover_server.dev_mode = true`;
- `exec_threshold` is at most the number of `exec_attestation_addresses`, which are all different;
- fee floors are not above fee caps, and a batch can hold the deposits of a block;
- the admin server and the prover server do not share a port.

Keep files with private keys readable by their owner only (`chmod 600`), or use variables.

";

const PROVER_INTRODUCTION: &str = "\
# Prover client

The prover client has a file of its own: `--config FILE`, or `$CONFIGS_PATH/$PROVER_CLIENT_CONFIG_FILE` (default
`configs/prover_client_config.toml`); its `.env` file is `--env-file FILE`, or `$PROVER_ENV_FILE` (default
`.env.prover`). The header `[prover_client]` may be left out.

";

fn show(schema: &Schema, shown: &[Shown], source: impl Fn(&Key) -> Source) -> String {
    let mut out = String::new();
    for section in schema.sections {
        if !out.is_empty() {
            out.push('\n');
        }
        out.push_str(&format!("[{}]\n", section.name));
        for key in section.keys {
            let value = shown.iter().find(|s| s.section == key.section && s.name == key.name);
            let line = match value.and_then(|shown| shown.value.as_ref()) {
                Some(text) => format!("{} = {}", key.name, key.syntax.write(text)),
                None => format!("# {} has no value", key.name),
            };
            let origin = if line.starts_with('#') { String::new() } else { format!("# {}", source(key)) };
            out.push_str(format!("{line:<64} {origin}").trim_end());
            out.push('\n');
        }
    }
    out
}

impl Config {
    /// The effective values as TOML, each with the layer it comes from; secrets are `***`, and URLs are cut after
    /// the host (SEQ-INV-12).
    #[must_use]
    pub fn show(&self) -> String {
        show(&SEQUENCER, &self.shown(), |key| self.origins.source(key.section, key.name))
    }

    /// How many keys each layer sets, such as "2 from configs/x.toml, 1 from the environment".
    #[must_use]
    pub fn summary(&self) -> String {
        self.origins.summary()
    }
}

impl ProverConfig {
    /// As [`Config::show`].
    #[must_use]
    pub fn show(&self) -> String {
        use super::schema::Filled;
        show(&PROVER, &self.client.shown(), |key| self.origins.source(key.section, key.name))
    }

    /// As [`Config::summary`].
    #[must_use]
    pub fn summary(&self) -> String {
        self.origins.summary()
    }
}
