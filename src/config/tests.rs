#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::path::Path;

use alloy_primitives::{Address, address};
use ensemble_error::{Classify, Severity};
use ensemble_messages::ProverType;

use super::keys::{PROVER, SEQUENCER};
use super::schema::{Schema, Use};
use super::*;

/// Keys and accounts 0 and 1 of the development mnemonic.
const KEY_0: &str = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
const KEY_1: &str = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";
const ADDRESS_0: Address = address!("f39Fd6e51aad88F6F4ce6aB8827279cffFb92266");
const ADDRESS_1: Address = address!("70997970C51812dc3A010C7d01b50e0d17dc79C8");

/// Options with a directory of their own, so that no file or variable of the machine plays a part.
struct Setup {
    directory: tempfile::TempDir,
    options: LoadOptions,
}

impl Setup {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let options = LoadOptions { directory: directory.path().to_owned(), ..LoadOptions::default() };
        Self { directory, options }
    }

    fn toml(text: &str) -> Self {
        Self::new().file("sequencer.toml", text).configured("sequencer.toml")
    }

    fn file(self, name: &str, text: &str) -> Self {
        let path = self.directory.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        #[cfg(unix)]
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        self
    }

    fn configured(mut self, name: &str) -> Self {
        self.options.file = Some(name.into());
        self
    }

    fn env(mut self, name: &str, value: &str) -> Self {
        self.options.env.insert(name.to_owned(), value.to_owned());
        self
    }

    fn set(mut self, key: &str, value: &str) -> Self {
        self.options.flags.push((key.to_owned(), value.to_owned()));
        self
    }

    fn load(&self) -> Result<Config, ConfigErrors> {
        Config::load(&self.options)
    }

    fn problems(&self) -> Vec<Problem> {
        self.load().expect_err("the configuration should be refused").problems().to_vec()
    }

    /// The one problem, and its remedy.
    fn problem(&self) -> (String, String) {
        let mut problems = self.problems();
        assert_eq!(problems.len(), 1, "{problems:?}");
        let problem = problems.remove(0);
        let directory = format!("{}/", self.directory.path().display());
        (problem.to_string().replace(&directory, ""), problem.remedy)
    }
}

fn keys(schema: &'static Schema) -> Vec<(&'static schema::Section, &'static schema::Key)> {
    schema.keys().collect()
}

#[test]
fn nothing_is_a_valid_configuration() {
    let config = Setup::new().load().unwrap();
    assert_eq!(config.file(), None);
    assert_eq!(config.warnings(), [""; 0]);
    assert_eq!(config.proposer.interval_ms, 5_000);
    assert_eq!(config.eth.rpc_url, ["http://localhost:8545".parse().unwrap()]);
    assert_eq!(config.watcher.confirmations, Confirmations::Safe);
    assert_eq!(config.store.url.sqlite_path(), Some(Path::new("./data/ensemble.db")));
    assert!(!config.prover_server.dev_mode && config.proposer.empty_blocks && config.deployer.salt_is_zero);
    assert_eq!(Config { origins: config.origins.clone(), ..Config::default() }, config);
    assert_eq!(ProverConfig::load(&Setup::new().options).unwrap().client, ProverClientConfig::default());
}

/// Every key of the reference document, under its section and name.
#[test]
fn every_key_of_the_reference_document_is_accepted() {
    let config = Setup::toml(&format!(
        r#"
        [deployer]
        l1_address = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"
        "l1_private key" = "0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a"
        pico_contract_verifier = "0x00000000000000000000000000000000000000AA"
        pico_deploy_verifier = true
        risc0_contract_verifier = "0x00000000000000000000000000000000000000AA"
        sp1_contract_verifier = "0x00000000000000000000000000000000000000AA"
        sp1_deploy_verifier = true
        salt_is_zero = false
        [watcher]
        bridge_address = "0x266ffef34e21a7c4ce2e0e42dc780c2c273ca440"
        check_interval_ms = 1001
        max_block_step = 5001
        l2_proposer_private_key = "{KEY_0}"
        [proposer]
        interval_ms = 5001
        "coinbase address" = "0x0007a881CD95B1484fca47615B64803dad620C8d"
        [committer]
        l1_address = "{ADDRESS_0}"
        l1_private_key = "{KEY_0}"
        commit_time_ms = 1002
        on_chain_proposer_address = "0x52178cfc3db571f60016d43adf47d61c2009fa72"
        [prover_server]
        l1_address = "{ADDRESS_1}"
        l1_private_key = "{KEY_1}"
        listen_ip = "127.0.0.2"
        listen_port = 3901
        dev_mode = true
        "#
    ))
    .load()
    .unwrap();
    assert_eq!(config.deployer.l1_address, Some(address!("3C44CdDdB6a900fa2b585dd299e03d12FA4293BC")));
    assert_eq!(config.deployer.l1_private_key.as_ref().map(PrivateKey::address), config.deployer.l1_address);
    assert_eq!(config.deployer.pico_contract_verifier, Some(UNUSED_VERIFIER));
    assert_eq!(config.deployer.risc0_contract_verifier, Some(UNUSED_VERIFIER));
    assert_eq!(config.deployer.sp1_contract_verifier, Some(UNUSED_VERIFIER));
    assert!(config.deployer.pico_deploy_verifier && config.deployer.sp1_deploy_verifier);
    assert!(!config.deployer.salt_is_zero);
    assert_eq!(config.watcher.bridge_address, Some(address!("266ffef34e21a7c4ce2e0e42dc780c2c273ca440")));
    assert_eq!((config.watcher.check_interval_ms, config.watcher.max_block_step), (1001, 5001));
    assert_eq!(config.watcher.l2_proposer_private_key, Some(KEY_0.parse().unwrap()));
    assert_eq!(config.proposer.interval_ms, 5001);
    assert_eq!(config.proposer.coinbase_address, Some(address!("0007a881CD95B1484fca47615B64803dad620C8d")));
    assert_eq!(config.committer.l1_address, Some(ADDRESS_0));
    assert_eq!(config.committer.l1_private_key, Some(KEY_0.parse().unwrap()));
    assert_eq!(config.committer.commit_time_ms, 1002);
    assert_eq!(
        config.committer.on_chain_proposer_address,
        Some(address!("52178cfc3db571f60016d43adf47d61c2009fa72"))
    );
    assert_eq!(config.prover_server.l1_address, Some(ADDRESS_1));
    assert_eq!(config.prover_server.l1_private_key, Some(KEY_1.parse().unwrap()));
    assert_eq!(config.prover_server.listen_ip.to_string(), "127.0.0.2");
    assert_eq!(config.prover_server.listen_port, 3901);
    assert!(config.prover_server.dev_mode);
}

/// The names that the reference had at other times, in files and in the environment.
#[test]
fn the_names_of_the_reference_implementation_are_aliases() {
    let by_file = Setup::toml(&format!(
        r#"
        [deployer]
        address = "{ADDRESS_0}"
        private_key = "{KEY_0}"
        [eth]
        rpc_url = "http://localhost:1"
        [proposer]
        block_time_ms = 2000
        [committer]
        interval_ms = 3000
        arbitrary_base_blob_gas_price = 7
        [prover_server]
        verifier_address = "{ADDRESS_1}"
        verifier_private_key = "{KEY_1}"
        dev_interval_ms = 4000
        [engine]
        rpc_url = "http://localhost:8552"
        jwt_path = "./other.hex"
        "#
    ))
    .load()
    .unwrap();
    let (zero, one) = (ADDRESS_0.to_string(), ADDRESS_1.to_string());
    let mut setup = Setup::new();
    for (name, value) in [
        ("DEPLOYER_ADDRESS", zero.as_str()),
        ("DEPLOYER_PRIVATE_KEY", KEY_0),
        ("ETH_RPC_URL", "http://localhost:1"),
        ("PROPOSER_BLOCK_TIME_MS", "2000"),
        ("COMMITTER_INTERVAL_MS", "3000"),
        ("COMMITTER_ARBITRARY_BASE_BLOB_GAS_PRICE", "7"),
        ("PROVER_SERVER_VERIFIER_ADDRESS", one.as_str()),
        ("PROVER_SERVER_VERIFIER_PRIVATE_KEY", KEY_1),
        ("PROVER_SERVER_DEV_INTERVAL_MS", "4000"),
        ("ENGINE_API_RPC_URL", "http://localhost:8552"),
        ("ENGINE_API_JWT_PATH", "./other.hex"),
    ] {
        setup = setup.env(name, value);
    }
    let by_variable = setup.load().unwrap();
    for config in [&by_file, &by_variable] {
        assert_eq!(config.deployer.l1_address, Some(ADDRESS_0));
        assert_eq!(config.deployer.l1_private_key, Some(KEY_0.parse().unwrap()));
        assert_eq!((config.proposer.interval_ms, config.committer.commit_time_ms), (2000, 3000));
        assert_eq!(config.committer.arbitrary_base_blob_gas_price, 7);
        assert_eq!(config.prover_server.l1_address, Some(ADDRESS_1));
        assert_eq!(config.prover_server.l1_private_key, Some(KEY_1.parse().unwrap()));
        assert_eq!(config.prover_server.dev_interval_ms, 4000);
        assert_eq!(config.engine.auth_url.expose(), "http://localhost:8552");
        assert_eq!(config.engine.jwt_path, Path::new("./other.hex"));
        assert_eq!(config.eth.rpc_url[0].expose(), "http://localhost:1");
    }
}

/// The variables that the reference's deployer writes, and those of every other key, are known.
#[test]
fn variables_follow_from_section_and_name() {
    let all: Vec<_> =
        keys(&SEQUENCER).into_iter().chain(keys(&PROVER)).flat_map(|(s, k)| s.variables(k)).collect();
    for name in [
        "DEPLOYER_L1_ADDRESS",
        "DEPLOYER_L1_PRIVATE_KEY",
        "DEPLOYER_RISC0_CONTRACT_VERIFIER",
        "DEPLOYER_SP1_CONTRACT_VERIFIER",
        "DEPLOYER_PICO_CONTRACT_VERIFIER",
        "DEPLOYER_SP1_DEPLOY_VERIFIER",
        "DEPLOYER_PICO_DEPLOY_VERIFIER",
        "DEPLOYER_SALT_IS_ZERO",
        "L1_WATCHER_BRIDGE_ADDRESS",
        "L1_WATCHER_CHECK_INTERVAL_MS",
        "L1_WATCHER_MAX_BLOCK_STEP",
        "L1_WATCHER_L2_PROPOSER_PRIVATE_KEY",
        "PROPOSER_INTERVAL_MS",
        "PROPOSER_COINBASE_ADDRESS",
        "COMMITTER_ON_CHAIN_PROPOSER_ADDRESS",
        "COMMITTER_L1_ADDRESS",
        "COMMITTER_L1_PRIVATE_KEY",
        "COMMITTER_COMMIT_TIME_MS",
        "PROVER_SERVER_LISTEN_IP",
        "PROVER_SERVER_LISTEN_PORT",
        "PROVER_SERVER_L1_ADDRESS",
        "PROVER_SERVER_DEV_MODE",
        "PROVER_CLIENT_PROVER_SERVER_ENDPOINT",
        "PROVER_CLIENT_PROVING_TIME_MS",
        "SP1_PROVER",
        "RISC0_DEV_MODE",
        "L2_CHAIN_ID",
        "STORE_URL",
        "ADMIN_LISTEN_PORT",
    ] {
        assert!(all.contains(&name.to_owned()), "{name}");
    }
    let mut unique = all.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), all.len(), "two keys share a variable");
}

/// Every key reaches the struct: set alone to its example by each layer that can, it is what is shown.
#[test]
fn every_key_is_read_from_every_layer() {
    for (schema, section, key) in keys(&SEQUENCER)
        .into_iter()
        .map(|(s, k)| (&SEQUENCER, s, k))
        .chain(keys(&PROVER).into_iter().map(|(s, k)| (&PROVER, s, k)))
    {
        let default = (key.default)();
        // A value that differs from the default and is no mistake by itself.
        let value = match (key.example, default.as_deref()) {
            (example, Some(default)) if example == default => match key.kind {
                "boolean" => if default == "true" { "false" } else { "true" }.to_owned(),
                "number" if key.name.starts_with("max_blobs") => "5".to_owned(),
                "number" | "gwei" => default.parse::<u64>().unwrap().saturating_sub(1).max(2).to_string(),
                "IP address" => "127.0.0.9".to_owned(),
                "URL" => "http://other:1".to_owned(),
                "\"blob\", \"calldata\", \"auto\" or \"none\"" => "auto".to_owned(),
                "1 or 0" => "0".to_owned(),
                "\"client\" or \"shadow\"" => "shadow".to_owned(),
                "\"safe\", \"finalized\" or number" => "12".to_owned(),
                "\"mock\", \"cpu\" or \"cuda\"" => "mock".to_owned(),
                "\"exec\", \"risc0\", \"sp1\" or \"pico\"" => "sp1".to_owned(),
                "host:port" => "other:1".to_owned(),
                _ => format!("{example}x"),
            },
            (example, _) => example.to_owned(),
        };
        let value = if value == "2" && default.as_deref() == Some("2") { "3".to_owned() } else { value };
        let path = key.path();
        let toml = format!("[{}]\n{} = {}\n", section.name, key.name, key.syntax.write(&value));
        let variable = section.variables(key).remove(0);
        let setups = [
            Setup::toml(&toml),
            Setup::new().file(schema.default_env_file, &format!("{variable}='{value}'\n")),
            Setup::new().env(&variable, &value),
            Setup::new().set(&path, &value),
        ];
        for (index, mut setup) in setups.into_iter().enumerate() {
            if key.name.contains("verifier") && value.ends_with("aa") {
                setup = setup.env("PROVER_SERVER_DEV_MODE", "true");
            }
            if key.name == "exec_threshold" {
                setup = setup.env("DEPLOYER_EXEC_ATTESTATION_ADDRESSES", &ADDRESS_0.to_string());
            }
            if key.section == "prover_server" && key.name.starts_with("tls_") {
                for other in ["PROVER_SERVER_TLS_CERT_PATH", "PROVER_SERVER_TLS_KEY_PATH"] {
                    if other != variable {
                        setup = setup.env(other, "./other.pem");
                    }
                }
            }
            let (shown, source) = if std::ptr::eq(schema, &SEQUENCER) {
                let config =
                    setup.load().unwrap_or_else(|errors| panic!("{path} from layer {index}: {errors}"));
                (config.shown(), config.source(key.section, key.name))
            } else {
                let config =
                    ProverConfig::load(&setup.options).unwrap_or_else(|errors| panic!("{path}: {errors}"));
                (schema::Filled::shown(&config.client), config.source(key.name))
            };
            let shown = shown.into_iter().find(|s| s.section == key.section && s.name == key.name).unwrap();
            assert_ne!(shown.value, default, "{path} from layer {index} did not arrive");
            let right = match index {
                0 => matches!(source, Source::File { line: Some(2), .. }),
                1 => matches!(source, Source::EnvFile { line: Some(1), .. }),
                2 => source == Source::Environment { variable: variable.clone() },
                _ => source == Source::Flag,
            };
            assert!(right, "{path} from layer {index}: {source:?}");
        }
    }
}

#[test]
fn higher_layers_win() {
    let base = || {
        Setup::toml(
            "[proposer]\ninterval_ms = 1001\n[watcher]\nmax_block_step = 1\n[admin]\nenabled = false\n",
        )
        .file(".env", "PROPOSER_INTERVAL_MS=1002\nL1_WATCHER_MAX_BLOCK_STEP=2\n")
    };
    let read = |setup: Setup| {
        let config = setup.load().unwrap();
        (config.proposer.interval_ms, config.watcher.max_block_step, config.admin.enabled)
    };
    assert_eq!(read(base()), (1002, 2, false));
    assert_eq!(read(base().env("PROPOSER_BLOCK_TIME_MS", "1003")), (1003, 2, false));
    let env = || base().env("PROPOSER_INTERVAL_MS", "1003").env("ADMIN_ENABLED", "1");
    assert_eq!(read(env()), (1003, 2, true));
    assert_eq!(read(env().set("proposer.interval_ms", "1004")), (1004, 2, true));
    // The last flag wins; an empty variable is none.
    let flags = env().set("proposer.interval_ms", "1004").set("proposer.block_time_ms", "1005");
    assert_eq!(read(flags), (1005, 2, true));
    assert_eq!(read(base().env("PROPOSER_INTERVAL_MS", "")), (1002, 2, false));
}

#[test]
fn the_file_is_found_by_option_variable_or_default() {
    let text = |value: u64| format!("[proposer]\ninterval_ms = {value}\n");
    let setup = || {
        Setup::new()
            .file("configs/sequencer_config.toml", &text(1001))
            .file("else/sequencer_config.toml", &text(1002))
            .file("else/mine.toml", &text(1003))
            .file("configs/mine.toml", &text(1004))
            .file("last.toml", &text(1005))
    };
    let read = |setup: Setup| setup.load().unwrap().proposer.interval_ms;
    assert_eq!(read(setup()), 1001);
    assert_eq!(read(setup().env("CONFIGS_PATH", "else")), 1002);
    assert_eq!(read(setup().env("CONFIGS_PATH", "else").env("SEQUENCER_CONFIG_FILE", "mine.toml")), 1003);
    assert_eq!(read(setup().env("SEQUENCER_CONFIG_FILE", "mine.toml")), 1004);
    assert_eq!(read(setup().file(".env", "CONFIGS_PATH=else\nSEQUENCER_CONFIG_FILE=mine.toml\n")), 1003);
    assert_eq!(read(setup().env("CONFIGS_PATH", "else").configured("last.toml")), 1005);
    let mut by_option = setup().env("CONFIGS_PATH", "nowhere");
    by_option.options.configs_path = Some("else".into());
    assert_eq!(read(by_option), 1002);
    let named_env = setup().file("other.env", "PROPOSER_INTERVAL_MS=1006\n").env("ENV_FILE", "other.env");
    assert_eq!(read(named_env), 1006);
}

#[test]
fn a_file_that_was_named_must_exist() {
    for setup in [
        Setup::new().configured("no.toml"),
        Setup::new().env("SEQUENCER_CONFIG_FILE", "no.toml"),
        Setup::new().env("CONFIGS_PATH", "no"),
        Setup::new().env("ENV_FILE", "no.env"),
    ] {
        let (what, remedy) = setup.problem();
        assert!(what.contains("cannot be opened"), "{what}");
        assert!(remedy.contains("config init"), "{remedy}");
    }
}

/// One report instead of ten runs.
#[test]
fn ten_mistakes_are_ten_numbered_problems() {
    let setup = Setup::toml(&format!(
        r#"[watcher]
bridge_address = "0x12"
check_intervall_ms = 5
max_block_step = "5000"
[proposer]
interval_ms = 200
[committer]
l1_address = "{ADDRESS_1}"
l1_private_key = "{KEY_0}"
da = "pigeons"
max_blobs = 9
[prover_server]
l1_address = "{ADDRESS_1}"
listen_port = 70000
[wacher]
x = 1
[engine]
auth_url = "localhost:8551"
"#
    ));
    let errors = setup.load().unwrap_err();
    let text = errors.to_string().replace(&format!("{}/", setup.directory.path().display()), "");
    let expected = [
        "11 problems in the configuration:",
        "1. sequencer.toml:2: watcher.bridge_address: \"0x12\" is no address",
        "2. sequencer.toml:3: watcher.check_intervall_ms: there is no such key",
        "3. sequencer.toml:4: watcher.max_block_step: \"5000\" is not a whole number",
        "4. sequencer.toml:6: proposer.interval_ms: 200 is below 1000: block timestamps are whole seconds and must grow",
        "5. sequencer.toml:8: committer.l1_address: 0x70997970C51812dc3A010C7d01b50e0d17dc79C8 is not the account of",
        "6. sequencer.toml:10: committer.da: \"pigeons\" is not possible here",
        "7. sequencer.toml:11: committer.max_blobs: 9 is above 6",
        "8. sequencer.toml:13: prover_server.l1_address: 0x70997970C51812dc3A010C7d01b50e0d17dc79C8 is the account of [committer], too",
        "9. sequencer.toml:14: prover_server.listen_port: 70000 is out of range",
        "10. sequencer.toml:15: wacher: there is no such section",
        "11. sequencer.toml:18: engine.auth_url: not a URL that works here: it does not start with http:// or https://",
    ];
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[0].starts_with(expected[0]), "{text}");
    for (index, expected) in expected.iter().enumerate().skip(1) {
        assert!(lines[index * 2 - 1].trim_start().starts_with(expected), "{index}: {text}");
        assert!(lines[index * 2].trim_start().starts_with("-> "), "{index}: {text}");
    }
    assert_eq!(lines.len(), 23, "{text}");
    assert!(
        text.contains("did you mean `check_interval_ms`?") && text.contains("did you mean [watcher]?"),
        "{text}"
    );
    assert_eq!(errors.severity(), Severity::Fatal);
    assert!(!text.contains(&KEY_0[2..10]), "SEQ-INV-12: {text}");
}

#[test]
fn ten_mistakes_of_ten_layers_and_kinds() {
    let setup = Setup::toml("[eth\nx =\n[admin]\nenabled = \"yes\"\n")
        .file(".env", "PROPOSER_INTERVAL_MS=5s\nwhat is this\n")
        .env("L1_WATCHER_MAX_BLOCK_STEP", "0")
        .env("COMMITTER_L1_PRIVATE_KEY", "0x00")
        .set("proposer.interval", "1")
        .set("comitter.da", "none")
        .set("interval_ms", "1")
        .set("watcher.confirmations", "maybe")
        .set("store.url", "mysql://user:hunter2@host/x");
    let problems = setup.problems();
    let text = format!("{problems:#?}");
    let count = |of: fn(&Source) -> bool| problems.iter().filter(|p| of(&p.source)).count();
    assert!(count(|s| matches!(s, Source::File { .. })) >= 2, "{text}");
    assert_eq!(count(|s| matches!(s, Source::EnvFile { .. })), 2, "{text}");
    assert_eq!(count(|s| matches!(s, Source::Environment { .. })), 2, "{text}");
    assert_eq!(count(|s| matches!(s, Source::Flag)), 5, "{text}");
    assert!(
        text.contains("did you mean `interval_ms`?") && text.contains("did you mean `committer.da`?"),
        "{text}"
    );
    assert!(text.contains("write `proposer.interval_ms=value`"), "{text}");
    assert!(!text.contains("hunter2"), "SEQ-INV-12: {text}");
}

#[test]
fn unknown_keys_get_a_suggestion() {
    for (toml, what, remedy) in [
        (
            "[committer]\ncommit_tim_ms = 1",
            "committer.commit_tim_ms: there is no such key",
            "did you mean `commit_time_ms`?",
        ),
        (
            "[proposer]\nblocktime_ms = 1",
            "proposer.blocktime_ms: there is no such key",
            "did you mean `interval_ms`?",
        ),
        (
            "[proposer]\nmax_block_step = 1",
            "proposer.max_block_step: there is no such key",
            "move it to [watcher]",
        ),
        ("[l2]\nzzz = 1", "l2.zzz: there is no such key", "the keys of [l2] are: chain_id, genesis_path"),
        (
            "max_block_step = 1",
            "max_block_step: a key outside of any section",
            "move it below the header [watcher]",
        ),
        (
            "watcher = 1",
            "watcher: is a section, not a key",
            "write [watcher] on a line of its own and its keys below",
        ),
        (
            "[prover_client]\nname = 'x'",
            "prover_client: there is no such section",
            "move it to a file of its own, prover_client_config.toml",
        ),
        (
            "[[watcher]]\n",
            "watcher: is a section, not a key",
            "write [watcher] on a line of its own and its keys below",
        ),
    ] {
        let (text, advice) = Setup::toml(toml).problem();
        assert!(text.ends_with(what), "{toml}: {text}");
        assert_eq!(advice, remedy, "{toml}");
    }
}

/// The document writes two names with a blank, which TOML does not allow without quotes.
#[test]
fn a_blank_in_a_key_is_explained() {
    let (text, remedy) = Setup::toml(&format!("[deployer]\nl1_private key = \"{KEY_0}\"\n")).problem();
    assert!(text.starts_with("sequencer.toml:2: not TOML: "), "{text}");
    assert_eq!(remedy, "a key has no blanks: write `l1_private_key`");
    assert!(!text.contains(&KEY_0[2..10]), "SEQ-INV-12: {text}");
}

/// SEQ-INV-12: the line of a syntax error may hold a secret.
#[test]
fn syntax_errors_do_not_repeat_the_line() {
    for toml in [
        format!("[committer]\nl1_private_key = {KEY_0}\n"),
        format!("[committer]\nl1_private_key = \"{KEY_0}\n"),
        format!("[committer]\nl1_private_key = \"{KEY_0}\"\nl1_private_key = \"{KEY_1}\"\n"),
        format!("[committer]\nl1_private_key \"{KEY_0}\"\n"),
        format!("[committer]\n{KEY_0}\n"),
        format!("[committer]\nl1_private_key = [\"{KEY_0}\"\n"),
    ] {
        let setup = Setup::toml(&toml);
        let errors = setup.load().unwrap_err();
        let text = format!("{errors} {errors:?}");
        assert!(!text.contains(&KEY_0[2..10]) && !text.contains(&KEY_1[2..10]), "{text}");
        assert!(
            errors.problems().iter().all(|p| matches!(p.source, Source::File { line: Some(_), .. })),
            "{text}"
        );
    }
}

#[test]
fn a_key_that_is_set_twice_is_refused_unless_both_agree() {
    let setup = Setup::toml("[proposer]\ninterval_ms = 2000\nblock_time_ms = 3000\n");
    let (text, remedy) = setup.problem();
    assert!(text.contains("proposer.interval_ms: is set twice, as `proposer."), "{text}");
    assert_eq!(remedy, "keep one of them, best `interval_ms`");
    assert!(Setup::toml("[proposer]\ninterval_ms = 2000\nblock_time_ms = 2000\n").load().is_ok());
    let env = Setup::new().env("PROPOSER_INTERVAL_MS", "2000").env("PROPOSER_BLOCK_TIME_MS", "3000");
    assert!(
        env.problem().0.contains("is set twice, as `PROPOSER_BLOCK_TIME_MS` and as `PROPOSER_INTERVAL_MS`")
    );
}

#[test]
fn accounts_must_fit_their_keys_and_differ() {
    let both = |committer: &str, verifier: &str| {
        Setup::toml(&format!("[committer]\n{committer}\n[prover_server]\n{verifier}\n"))
    };
    let address = |address: Address| format!("l1_address = \"{address}\"");
    let key = |key: &str| format!("l1_private_key = \"{key}\"");
    for (committer, verifier) in [
        (address(ADDRESS_0), address(ADDRESS_0)),
        (key(KEY_0), address(ADDRESS_0)),
        (address(ADDRESS_0), key(KEY_0)),
        (key(KEY_0), key(KEY_0)),
    ] {
        let (text, remedy) = both(&committer, &verifier).problem();
        assert!(text.contains("is the account of [committer], too"), "{text}");
        assert!(remedy.contains("nonces"), "{remedy}");
    }
    assert!(both(&key(KEY_0), &key(KEY_1)).load().is_ok());
    let fitting = both(&format!("{}\n{}", address(ADDRESS_0), key(KEY_0)), &address(ADDRESS_1));
    assert_eq!(fitting.load().unwrap().committer_address(), Some(ADDRESS_0));
    for section in ["deployer", "committer", "prover_server"] {
        let toml = format!("[{section}]\n{}\n{}\n", address(ADDRESS_0), key(KEY_1));
        let (text, _) = Setup::toml(&toml).problem();
        assert!(
            text.contains(&format!("is not the account of {section}.l1_private_key, which is {ADDRESS_1}")),
            "{text}"
        );
    }
}

#[test]
fn values_that_contradict_each_other_are_refused() {
    let zero = Address::ZERO;
    for (toml, what) in [
        (format!("[watcher]\nbridge_address = \"{zero}\""), "is the zero address"),
        (format!("[committer]\non_chain_proposer_address = \"{zero}\""), "is the zero address"),
        (
            format!(
                "[watcher]\nbridge_address = \"{ADDRESS_0}\"\n[committer]\non_chain_proposer_address = \"{ADDRESS_0}\""
            ),
            "is the address of the bridge, too",
        ),
        ("[eth]\nchain_id = 5\n[l2]\nchain_id = 5".to_owned(), "is the chain id of L1, too"),
        (
            "[eth]\nmax_fee_per_gas_gwei = 1.5".to_owned(),
            "50 is above eth.max_fee_per_gas_gwei, which is 1.5",
        ),
        ("[eth]\nmax_fee_per_blob_gas_gwei = 0.5".to_owned(), "1000000000 wei is above"),
        ("[admin]\nlisten_port = 3900".to_owned(), "is the port of the prover server, too"),
        (
            "[admin]\nlisten_port = 3900\nlisten_ip = \"0.0.0.0\"".to_owned(),
            "is the port of the prover server, too",
        ),
        (format!("[deployer]\nsp1_contract_verifier = \"{UNUSED_VERIFIER}\""), "refuse without dev mode"),
        (
            format!("[deployer]\nexec_attestation_addresses = [\"{ADDRESS_0}\"]\nexec_threshold = 2"),
            "2 signatures are asked for of 1 accounts",
        ),
        (
            format!("[deployer]\nexec_attestation_addresses = [\"{ADDRESS_0}\", \"{ADDRESS_0}\"]"),
            "is there twice",
        ),
        (format!("[deployer]\nexec_attestation_addresses = \"{zero}\""), "the zero address"),
        (
            "[proposer]\nmax_deposits_per_block = 9\n[committer]\nmax_batch_deposits = 8".to_owned(),
            "8 is below proposer.max_deposits_per_block, which is 9",
        ),
        ("[prover_server]\ntls_cert_path = \"a\"".to_owned(), "has no tls_key_path"),
        ("[prover_server]\ntls_key_path = \"a\"".to_owned(), "has no tls_cert_path"),
        ("[prover_server]\ntls_client_ca_path = \"a\"".to_owned(), "has no tls_cert_path and tls_key_path"),
        ("[proposer]\ninterval_ms = 999".to_owned(), "block timestamps are whole seconds and must grow"),
    ] {
        let (text, remedy) = Setup::toml(&toml).problem();
        assert!(text.contains(what), "{toml}: {text}");
        assert!(!remedy.is_empty());
    }
    for toml in [
        "[admin]\nlisten_port = 3900\nenabled = false",
        "[admin]\nlisten_port = 3900\nlisten_ip = \"127.0.0.2\"",
        "[deployer]\nsp1_contract_verifier = \"0x00000000000000000000000000000000000000aa\"\n[prover_server]\ndev_mode = true",
    ] {
        assert!(Setup::toml(toml).load().is_ok(), "{toml}");
    }
}

#[test]
fn what_run_needs_is_reported_at_once() {
    let setup = Setup::toml("[proposer]\ninterval_ms = 5\ncoinbase_address = \"0x1\"\n");
    let errors = Config::load_for_run(&setup.options).unwrap_err();
    let missing: Vec<_> = errors
        .problems()
        .iter()
        .filter(|p| p.what.contains("is missing"))
        .filter_map(|p| p.key.clone())
        .collect();
    assert_eq!(
        missing,
        [
            "watcher.bridge_address",
            "committer.l1_private_key",
            "committer.on_chain_proposer_address",
            "prover_server.l1_private_key"
        ]
    );
    assert_eq!(errors.problems().len(), 6, "a wrong value is not missing, too: {errors}");
    assert!(errors.to_string().contains("or the variable L1_WATCHER_BRIDGE_ADDRESS"), "{errors}");

    let setup = Setup::new()
        .env("L1_WATCHER_BRIDGE_ADDRESS", "0x266ffef34e21a7c4ce2e0e42dc780c2c273ca440")
        .env("PROPOSER_COINBASE_ADDRESS", "0x0007a881CD95B1484fca47615B64803dad620C8d")
        .env("COMMITTER_ON_CHAIN_PROPOSER_ADDRESS", "0x52178cfc3db571f60016d43adf47d61c2009fa72")
        .env("COMMITTER_L1_PRIVATE_KEY", KEY_0)
        .env("PROVER_SERVER_L1_PRIVATE_KEY", KEY_1);
    let (config, needed) = Config::load_for_run(&setup.options).unwrap();
    assert_eq!((needed.committer.address, needed.verifier.address), (ADDRESS_0, ADDRESS_1));
    assert_eq!(Some(needed.bridge_address), config.watcher.bridge_address);
    assert_eq!(config.require_for_run().unwrap(), needed);
    // A configuration that was made by hand, without layers.
    let mut by_hand = Config { origins: Default::default(), ..config };
    assert_eq!(by_hand.require_for_run().unwrap(), needed);
    by_hand.watcher.bridge_address = None;
    assert_eq!(by_hand.require_for_run().unwrap_err().problems().len(), 1);
}

/// The table says which keys `run` needs; without any one of them it must not start.
#[test]
fn each_needed_key_is_needed() {
    let toml = format!(
        "[watcher]\nbridge_address = \"0x266ffef34e21a7c4ce2e0e42dc780c2c273ca440\"\n\
         [proposer]\ncoinbase_address = \"0x0007a881CD95B1484fca47615B64803dad620C8d\"\n\
         [committer]\nl1_private_key = \"{KEY_0}\"\non_chain_proposer_address = \"0x52178cfc3db571f60016d43adf47d61c2009fa72\"\n\
         [prover_server]\nl1_private_key = \"{KEY_1}\"\n"
    );
    assert!(Config::load_for_run(&Setup::toml(&toml).options).is_ok());
    let needed: Vec<_> =
        keys(&SEQUENCER).into_iter().filter(|(_, key)| key.needed.contains(&Use::Run)).collect();
    assert_eq!(needed.len(), 5);
    for (section, key) in needed {
        let header = format!("[{}]", section.name);
        let mut inside = false;
        let without: String = toml
            .lines()
            .filter(|line| {
                if line.starts_with('[') {
                    inside = *line == header;
                }
                !(inside && line.starts_with(key.name))
            })
            .map(|line| format!("{line}\n"))
            .collect();
        let errors = Config::load_for_run(&Setup::toml(&without).options).unwrap_err();
        assert_eq!(errors.problems().len(), 1, "{errors}");
        assert_eq!(errors.problems()[0].key, Some(key.path()));
    }
}

#[test]
fn what_deploy_needs_is_reported_at_once() {
    let errors = Config::load_for_deploy(&Setup::new().options).unwrap_err();
    let found: Vec<_> = errors.problems().iter().filter_map(|p| p.key.clone()).collect();
    assert_eq!(
        found,
        ["deployer.l1_private_key", "committer.l1_address", "prover_server.l1_address", "deployer"]
    );

    let base = || {
        Setup::new()
            .env("DEPLOYER_L1_PRIVATE_KEY", KEY_0)
            .env("COMMITTER_L1_ADDRESS", &ADDRESS_0.to_string())
            .env("PROVER_SERVER_L1_PRIVATE_KEY", KEY_1)
    };
    let (_, needed) = Config::load_for_deploy(&base().env("PROVER_SERVER_DEV_MODE", "true").options).unwrap();
    assert_eq!((needed.deployer.address, needed.admin, needed.guardian), (ADDRESS_0, ADDRESS_0, ADDRESS_0));
    assert_eq!((needed.sequencer, needed.prover), (ADDRESS_0, ADDRESS_1));

    let exec = || base().set("deployer.exec_attestation_addresses", &ADDRESS_1.to_string());
    let (_, needed) =
        Config::load_for_deploy(&exec().set("deployer.admin", &ADDRESS_1.to_string()).options).unwrap();
    assert_eq!((needed.admin, needed.guardian), (ADDRESS_1, ADDRESS_1));

    let errors =
        Config::load_for_deploy(&exec().set("deployer.sp1_deploy_verifier", "true").options).unwrap_err();
    assert_eq!(errors.problems().len(), 1, "{errors}");
    assert!(
        errors.to_string().contains("deployer.sp1_program_key: is missing, and `sp1_contract_verifier` asks"),
        "{errors}"
    );
    let errors = Config::load_for_deploy(&exec().set("deployer.proof_threshold", "2").options).unwrap_err();
    assert!(errors.to_string().contains("2 proofs are asked for of 1 backends"), "{errors}");
}

#[test]
fn the_prover_client_has_a_file_of_its_own() {
    let flat = "prover_server_endpoint = \"10.0.0.1:3900\"\nproving_time_ms = 100\nbackend = \"risc0\"\nrisc0_dev_mode = 1\nsp1_prover = \"mock\"\n";
    let sectioned = "[prover_client]\nprover_server_endpoint = \"10.0.0.1:3900\"\ninterval_ms = 100\nbackend = \"risc0\"\nrisc0_dev_mode = true\nsp1_prover = \"mock\"\n";
    for text in [flat, sectioned] {
        let setup = Setup::new().file("configs/prover_client_config.toml", text);
        let (config, needed) = ProverConfig::load_for_prover(&setup.options).unwrap();
        assert_eq!(needed.endpoint.to_string(), "10.0.0.1:3900");
        assert_eq!(needed.attestation, None);
        assert_eq!((config.client.proving_time_ms, config.client.backend), (100, ProverType::Risc0));
        assert!(config.client.risc0_dev_mode);
        assert_eq!(config.client.sp1_prover, Sp1Prover::Mock);
        assert_eq!(
            config.file(),
            Some(setup.directory.path().join("configs/prover_client_config.toml").as_path())
        );
    }
    let setup = Setup::new()
        .file("x/mine.toml", flat)
        .env("CONFIGS_PATH", "x")
        .env("PROVER_CLIENT_CONFIG_FILE", "mine.toml");
    assert_eq!(ProverConfig::load(&setup.options).unwrap().client.proving_time_ms, 100);
    let errors = ProverConfig::load(&Setup::toml("prover_server_endpont = 'a:1'\n").options).unwrap_err();
    assert!(errors.to_string().contains("did you mean `prover_server_endpoint`?"), "{errors}");

    let errors = ProverConfig::load_for_prover(&Setup::new().set("name", "p1").options).unwrap_err();
    let missing: Vec<_> = errors.problems().iter().filter_map(|p| p.key.clone()).collect();
    assert_eq!(
        missing,
        [
            "prover_client.attestation_private_key",
            "prover_client.l1_chain_id",
            "prover_client.attestation_verifier"
        ]
    );
    let setup = Setup::new()
        .env("PROVER_CLIENT_ATTESTATION_PRIVATE_KEY", KEY_0)
        .env("PROVER_CLIENT_L1_CHAIN_ID", "1")
        .set("prover_client.attestation_verifier", &ADDRESS_1.to_string());
    let attestation = ProverConfig::load_for_prover(&setup.options).unwrap().1.attestation.unwrap();
    assert_eq!(
        (attestation.account.address, attestation.l1_chain_id, attestation.verifier),
        (ADDRESS_0, 1, ADDRESS_1)
    );
}

#[test]
fn risks_are_warnings() {
    let setup = Setup::toml("[prover_server]\nlisten_ip = \"0.0.0.0\"\n[admin]\nlisten_ip = \"0.0.0.0\"\n")
        .env("PROPOSER_COINBASE_ADDRESS", &Address::ZERO.to_string())
        .env("COMMITTER_COMIT_TIME_MS", "5")
        .env("DEPLOYER_CONTRACTS_PATH", "x")
        .env("PATH", "/bin")
        .set("prover_server.auth_token", "hunter2");
    let config = setup.load().unwrap();
    let warnings = config.warnings().join("\n");
    assert_eq!(config.warnings().len(), 5, "{warnings}");
    assert!(warnings.contains("without prover_server.tls_cert_path"), "{warnings}");
    assert!(warnings.contains("did you mean COMMITTER_COMMIT_TIME_MS?"), "{warnings}");
    assert!(warnings.contains("use the variable PROVER_SERVER_AUTH_TOKEN"), "{warnings}");
    assert!(!warnings.contains("hunter2"), "SEQ-INV-12: {warnings}");
    let open = Setup::toml("[prover_server]\nlisten_ip = \"0.0.0.0\"\n").load().unwrap();
    assert!(open.warnings()[0].contains("without prover_server.auth_token"), "{:?}", open.warnings());
}

#[cfg(unix)]
#[test]
fn files_with_secrets_that_others_can_read_are_told() {
    let setup = Setup::toml(&format!("[committer]\nl1_private_key = \"{KEY_0}\"\n"));
    assert_eq!(setup.load().unwrap().warnings().len(), 0);
    let path = setup.directory.path().join("sequencer.toml");
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let config = setup.load().unwrap();
    assert!(config.warnings()[0].contains("chmod 600"), "{:?}", config.warnings());
}

/// SEQ-INV-12: no way of printing a configuration shows a secret.
#[test]
fn secrets_are_never_shown() {
    let secrets = ["ac0974bec39a", "59c6995e998f", "hunter2", "apikey77", "pgpass55"];
    let setup = Setup::toml(&format!(
        "[committer]\nl1_private_key = \"{KEY_0}\"\n[prover_server]\nl1_private_key = \"{KEY_1}\"\n\
         [eth]\nrpc_url = [\"https://l1.example/v3/apikey77\", \"https://u:hunter2@b.example\"]\n\
         [store]\nurl = \"postgres://u:pgpass55@db/ensemble\"\n"
    ))
    .env("PROVER_SERVER_AUTH_TOKEN", "hunter2")
    .set("watcher.l2_proposer_private_key", KEY_0);
    let config = setup.load().unwrap();
    let show = config.show();
    let text = format!(
        "{config:?} {config:#?} {show} {} {:?} {:?}",
        config.summary(),
        config.warnings(),
        setup.options
    );
    for secret in secrets {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
    for line in [
        "l1_private_key = \"***\"",
        "auth_token = \"***\"",
        "rpc_url = [\"https://l1.example/***\", \"https://b.example/***\"]",
        "url = \"postgres://db/***\"",
        "# environment PROVER_SERVER_AUTH_TOKEN",
        "# command line",
        "# bridge_address has no value",
    ] {
        assert!(show.contains(line), "{line}: {show}");
    }
    // Still there for those who need them.
    assert_eq!(config.eth.rpc_url[0].expose(), "https://l1.example/v3/apikey77");
    assert_eq!(config.prover_server.auth_token.as_ref().map(Secret::expose), Some("hunter2"));

    // Mistakes in the same places.
    let setup = Setup::toml(&format!(
        "[committer]\nl1_private_key = \"{KEY_0}00\"\nl1_address = \"{KEY_0}\"\n[eth]\nrpc_url = [\"ws://u:hunter2@b/apikey77\"]\n\
         [store]\nurl = \"mysql://u:pgpass55@db\"\n[prover_server]\nlisten_ip = \"{KEY_1}\"\nauth_token = 5\n"
    ))
    .env("PROVER_SERVER_L1_PRIVATE_KEY", "59c6995e998fxx")
    .file(".env", "DEPLOYER_L1_PRIVATE_KEY=ac0974bec39a\nhunter2 hunter2\n");
    let errors = setup.load().unwrap_err();
    assert_eq!(errors.problems().len(), 9, "{errors}");
    let text = format!("{errors} {errors:?}");
    for secret in secrets {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
}

#[test]
fn what_is_shown_can_be_loaded() {
    let setup = Setup::toml(
        "[proposer]\ninterval_ms = 2500\n[watcher]\nconfirmations = 12\n[eth]\nmax_fee_per_gas_gwei = 77.5\n",
    );
    let config = setup.load().unwrap();
    let again = Setup::toml(&config.show()).load().unwrap();
    assert_eq!(Config { origins: config.origins.clone(), ..again }, config);
}

/// Uncommented, the examples are valid: names, types, limits and relations.
#[test]
fn the_examples_are_valid_and_complete() {
    let uncommented = |text: &str| -> String {
        text.lines()
            .map(|line| match line.strip_prefix('#') {
                Some(rest) if !rest.starts_with(' ') => rest.to_owned() + "\n",
                _ => line.to_owned() + "\n",
            })
            .collect()
    };
    assert_eq!(
        Config { origins: Default::default(), ..Setup::toml(&render_example()).load().unwrap() },
        Config::default()
    );
    let setup = Setup::toml(&uncommented(&render_example())).set("prover_server.dev_mode", "true");
    let (config, _) = Config::load_for_run(&setup.options).unwrap();
    assert!(Config::load_for_deploy(&setup.options).is_ok());
    assert!(config.shown().iter().all(|shown| shown.value.is_some()), "{}", config.show());
    let setup = Setup::toml(&uncommented(&render_prover_example()));
    let (prover, _) = ProverConfig::load_for_prover(&setup.options).unwrap();
    assert!(schema::Filled::shown(&prover.client).iter().all(|shown| shown.value.is_some()));
}

fn generated() -> [(&'static str, String); 3] {
    [
        ("configs/sequencer_config_example.toml", render_example()),
        ("configs/prover_client_config_example.toml", render_prover_example()),
        ("docs/configuration.md", render_markdown()),
    ]
}

/// Fails when the table changed and the committed files did not; ENSEMBLE_WRITE_GENERATED=1 writes them.
#[test]
fn the_generated_files_are_current() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (path, expected) in generated() {
        let path = root.join(path);
        if std::env::var_os("ENSEMBLE_WRITE_GENERATED").is_some() {
            std::fs::write(&path, &expected).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            committed == expected,
            "{} is not what the table of keys gives: run this test with ENSEMBLE_WRITE_GENERATED=1",
            path.display()
        );
    }
}

/// Every part of the table is fit to be shown.
#[test]
fn the_table_is_well_formed() {
    for schema in [&SEQUENCER, &PROVER] {
        for (section, key) in schema.keys() {
            let path = key.path();
            assert!(!key.help.trim().is_empty() && key.help.trim().ends_with('.'), "{path}: {:?}", key.help);
            assert!(!section.help.trim().is_empty());
            assert!((key.check)(&raw::Raw::loose(key.example)).is_ok(), "example of {path}");
            if let Some(default) = (key.default)() {
                assert!((key.check)(&raw::Raw::loose(&default)).is_ok(), "default of {path}");
                assert!(key.needed.is_empty(), "{path} has a default and cannot be missing");
            }
            let names: Vec<_> = section.keys.iter().filter(|other| other.answers_to(key.name)).collect();
            assert_eq!(names.len(), 1, "{path}");
            for alias in key.aliases {
                assert_eq!(
                    section.keys.iter().filter(|other| other.answers_to(alias)).count(),
                    1,
                    "{path} {alias}"
                );
            }
            let markdown = render_markdown();
            assert!(markdown.contains(&format!("| `{}` | ", key.name)), "{path}");
        }
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap()
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }
}

/// SEQ-INV-11: bad bytes are errors, never a panic.
#[test]
fn random_files_do_not_panic() {
    const ROUNDS: usize = 600;
    let seed: u64 = std::env::var("ENSEMBLE_TEST_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(0x5eed);
    println!("seed {seed} (set ENSEMBLE_TEST_SEED for another)");
    let mut random = Random(seed);
    let pieces = [
        "[watcher]",
        "[",
        "]",
        "[[",
        "]]",
        "=",
        "\"",
        "'",
        "\"\"\"",
        "'''",
        "\n",
        "\n",
        " ",
        ".",
        ",",
        "{",
        "}",
        "#",
        "interval_ms",
        "[proposer]",
        "bridge_address",
        "0x",
        "1e9",
        "-5",
        "true",
        "nan",
        "1979-05-27",
        "é",
        "\u{feff}",
        "\\u",
        "\\",
        "rpc_url",
        "[eth]",
        "confirmations",
        "99999999999999999999",
        "a.b.c",
        "\0",
        "\r\n",
        "export A=",
        "$HOME",
        "${",
        "L1_WATCHER_BRIDGE_ADDRESS=",
        "listen_ip",
        "[prover_server]",
        "max_fee_per_gas_gwei",
        "0b1",
    ];
    let example = render_example().replace("\n#", "\n");
    let mut loaded = 0;
    for round in 0..ROUNDS {
        let text: Vec<u8> = if round % 3 == 0 {
            (0..random.below(60)).flat_map(|_| pieces[random.below(pieces.len())].bytes()).collect()
        } else if round % 3 == 1 {
            (0..random.below(200)).map(|_| random.byte()).collect()
        } else {
            let mut bytes = example.clone().into_bytes();
            for _ in 0..random.below(7) + 1 {
                let at = random.below(bytes.len());
                match random.below(3) {
                    0 => bytes[at] = random.byte(),
                    1 => drop(bytes.remove(at)),
                    _ => bytes.truncate(at.max(1)),
                }
            }
            bytes
        };
        let setup = Setup::new();
        std::fs::write(setup.directory.path().join("c.toml"), &text).unwrap();
        std::fs::write(setup.directory.path().join(".env"), &text).unwrap();
        let lossy = String::from_utf8_lossy(&text).into_owned();
        let setup =
            setup.configured("c.toml").set(&lossy, "1").set("eth.rpc_url", &lossy).env("STORE_URL", &lossy);
        match setup.load() {
            Ok(config) => {
                loaded += 1;
                assert!(!config.show().is_empty());
            }
            Err(errors) => {
                assert!(!errors.problems().is_empty());
                assert!(errors.to_string().len() < 1_000_000);
            }
        }
        if let Err(errors) = ProverConfig::load(&setup.options) {
            assert!(!errors.to_string().is_empty());
        }
    }
    println!("{loaded} of {ROUNDS} were valid");
}

/// SEQ-INV-11: a file is read up to a limit, and nesting is bounded.
#[test]
fn enormous_files_are_refused() {
    let (text, _) = Setup::toml(&"#".repeat((1 << 20) + 1)).problem();
    assert!(text.contains("is larger than 1048576 bytes"), "{text}");
    for toml in
        ["[".repeat(100_000), format!("[eth]\nrpc_url = {}", "[".repeat(100_000)), "a.".repeat(100_000)]
    {
        assert!(!Setup::toml(&toml).problems().is_empty());
    }
    let many: String = (0..20_000).map(|n| format!("k{n}=1\n")).collect();
    assert_eq!(Setup::toml(&format!("[eth]\n{many}")).problems().len(), 20_000);
    let directory = Setup::new();
    std::fs::create_dir(directory.directory.path().join("d")).unwrap();
    assert!(directory.configured("d").problem().0.contains("cannot be read"));
}
