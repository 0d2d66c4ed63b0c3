//! The devnet's chain after its demo, rebuilt from L1 and its blobs by the program `ensemble`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod common;

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use alloy_primitives::B256;
use common::Devnet;
use ensemble_l1::{BlockTag, L1Client, RpcConfig, RpcL1Client};

/// An execution client of its own process, killed on drop.
struct Node {
    process: Child,
    http: String,
    auth: String,
}

impl Drop for Node {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

impl Node {
    /// With this genesis, and nothing else.
    fn empty(genesis: &Path, jwt: &Path) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_l2_node"))
            .args(["--http", "127.0.0.1:0", "--auth", "127.0.0.1:0", "--jwt"])
            .arg(jwt)
            .arg("--genesis")
            .arg(genesis)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines().map_while(Result::ok);
        let line = lines.find(|line| line.starts_with("JSON-RPC ")).expect("it says where it listens");
        let urls: Vec<&str> = line.split_whitespace().filter(|word| word.starts_with("http://")).collect();
        let [http, auth] = urls[..] else { panic!("{line}") };
        Self { http: http.to_owned(), auth: auth.to_owned(), process }
    }
}

/// The first word of what the devnet's greeting says of this.
fn told(devnet: &Devnet, name: &str) -> String {
    let start = format!("  {name:<11}");
    let line = devnet.shown.iter().find_map(|line| line.strip_prefix(&start));
    line.unwrap_or_else(|| panic!("no {name} in:\n{}", devnet.shown.join("\n")))
        .split_whitespace()
        .next()
        .unwrap()
        .to_owned()
}

async fn hash(url: &str, tag: BlockTag) -> B256 {
    let client = RpcL1Client::new(vec![url.to_owned()], RpcConfig::default()).unwrap();
    client.block(tag).await.unwrap().expect("the node has this block").hash
}

/// SEQ-INV-10: what the demo did is on L1. `ensemble rebuild`, given the endpoint of L1, that of its blobs and the address
/// of the proposer, makes an empty execution client arrive at the same block hash.
#[tokio::test]
async fn the_chain_of_the_demo_comes_back_from_l1_alone() {
    let program = Path::new(env!("CARGO_BIN_EXE_devnet")).with_file_name("ensemble");
    if !program.exists() {
        eprintln!("skipped: {} is not built; build or test the whole workspace", program.display());
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut demo = Devnet::demo(folder.path(), &[]);
    let right = demo.shows("Every balance is right.");
    demo.shows("\0");
    assert!(demo.wait().success() && right, "{}", demo.shown.join("\n"));
    let block_of = |line: &String| line.split_once("in block ")?.1.trim().parse::<u64>().ok();
    let withdrawal = demo.shown.iter().find_map(block_of).expect("the demo names the withdrawal's block");

    // Its L1, in service again.
    let mut devnet = Devnet::start(folder.path(), &[]);
    assert!(devnet.shows("  up after"), "{}", devnet.shown.join("\n"));
    let (l1, l2, proposer) = (told(&devnet, "L1"), told(&devnet, "L2"), told(&devnet, "Proposer"));
    let blobs = told(&devnet, "L1 blobs").replace("/eth/v1/beacon/blobs/{block}", "");

    let elsewhere = tempfile::tempdir().unwrap();
    let jwt = elsewhere.path().join("jwt.hex");
    let node = Node::empty(&folder.path().join("genesis-l2.json"), &jwt);
    assert_eq!(hash(&node.http, BlockTag::Latest).await, hash(&l2, BlockTag::Number(0)).await);
    let output = Command::new(program)
        .args(["rebuild", "--l1-rpc", &l1, "--beacon", &blobs, "--proposer", &proposer, "--up-to", "0"])
        .args(["--auth-url", &node.auth, "--public-url", &node.http, "--jwt"])
        .arg(&jwt)
        .current_dir(elsewhere.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));

    let head = said.split_once("head ").unwrap_or_else(|| panic!("{said}")).1;
    let mut head = head.split_whitespace();
    let number: u64 = head.next().unwrap().parse().unwrap();
    let rebuilt: B256 = head.next().unwrap().parse().unwrap();
    assert!(number >= withdrawal, "the demo's withdrawal in block {withdrawal} is there: {said}");
    assert_eq!(hash(&node.http, BlockTag::Latest).await, rebuilt);
    assert_eq!(hash(&l2, BlockTag::Number(number)).await, rebuilt, "SEQ-INV-10: the same chain");
}
