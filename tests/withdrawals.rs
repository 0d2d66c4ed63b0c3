//! Withdrawals by the hash of their L2 transaction: proofs over JSON-RPC and HTTP, and `ensemble claim`.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::net::SocketAddr;

use alloy_primitives::{Address, B256, U256, hex, keccak256};
use common::{
    DEPLOYER, LIMIT, USER, World, address, client, ether, http, http_with, local, process::said, run, until,
};
use ensemble::{
    account::Call,
    admin::{
        AdminServer,
        rpc::{GET_WITHDRAWAL_PROOFS, MAX_CALLS, MAX_REQUEST},
    },
    withdrawals::{TransactionWithdrawal, WithdrawalState},
};
use ensemble_contracts::{bytecode, calls};
use serde_json::{Value, json};

/// A JSON-RPC call, as it was answered.
async fn rpc(admin: SocketAddr, method: &str, params: Value) -> Value {
    let request = json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params });
    let answer = http_with(admin, "POST", "/rpc", &request.to_string()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let answer = answer.json();
    assert_eq!((&answer["jsonrpc"], &answer["id"]), (&json!("2.0"), &json!(7)), "{answer}");
    answer
}

async fn proofs(admin: SocketAddr, transaction: B256) -> Result<Vec<TransactionWithdrawal>, Value> {
    let mut answer = rpc(admin, GET_WITHDRAWAL_PROOFS, json!([transaction])).await;
    match answer["result"].take() {
        Value::Null => Err(answer["error"].take()),
        list => Ok(serde_json::from_value(list).unwrap()),
    }
}

/// SEQ-INV-1's counterpart for withdrawals: several withdrawals of one transaction, each at another depth of calls, are
/// each paid once, to the receivers, by an account that is none of them.
#[test]
fn nested_withdrawals_of_one_transaction_are_each_paid_once() {
    run(async {
        let world = World::start(|_| {}).await;
        let prover = world.prover();
        let sequencer = world.sequencer().await;
        let server = AdminServer::start(sequencer.clone(), local(0)).unwrap();
        let admin = server.address();

        let user = world.user_l2("user").await;
        let to = user.address().to_string();
        let key = ("ENSEMBLE_PRIVATE_KEY", DEPLOYER.private_key);
        let deposit = ["deposit", "--amount", "3ether", "--to", &to, "--wait"];
        let deposited = said(&world, &deposit, &[key]).await;
        assert_eq!(deposited.code, Some(0), "{deposited:?}");
        assert!(
            deposited.out.contains("deposit #1 ") && deposited.out.contains("on the L2"),
            "{deposited:?}"
        );
        assert_eq!(user.client().balance(user.address()).await.unwrap(), ether(3_000));
        let code = Call { to: None, value: U256::ZERO, data: bytecode::nested_withdrawer() };
        let deployed = user.transact(&code, LIMIT).await.unwrap();
        let error = proofs(admin, deployed.transaction_hash).await.unwrap_err();
        assert_eq!((&error["code"], &error["data"]["reason"]), (&json!(-32013), &json!("no_withdrawal")));

        // No batch is made for now, so that every state is seen.
        sequencer.system().pause("l1_committer").await.unwrap();
        let receivers: Vec<Address> = ["one", "two", "three"].map(address).to_vec();
        let (each, contract) = (ether(200), deployed.contract_address.unwrap());
        let data = calls::nested_withdrawals(&receivers, each);
        let call = Call { to: Some(contract), value: each * U256::from(3), data };
        let receipt = user.transact(&call, LIMIT).await.unwrap();
        let transaction = receipt.transaction_hash;
        let waits = proofs(admin, transaction).await.unwrap_err();
        assert_eq!((&waits["code"], &waits["data"]["reason"]), (&json!(-32011), &json!("not_in_batch")));
        let text = waits["message"].as_str().unwrap();
        assert!(text.contains(&format!("block {}", receipt.block_number)), "{text}");
        let hash = transaction.to_string();
        let url = format!("http://{admin}");
        let at = ("ENSEMBLE_ADMIN_URL", url.as_str());
        let early = said(&world, &["claim", &hash], &[key, at]).await;
        assert_eq!(early.code, Some(1), "{early:?}");
        assert!(early.err.contains("is in no batch yet") && early.err.contains("--wait"), "{early:?}");

        // With no prover the batch is committed, and not verified.
        prover.stop().await.unwrap();
        sequencer.system().resume("l1_committer").await.unwrap();
        let committed = until("the commit of the batch", async || {
            let all = proofs(admin, transaction).await.ok()?;
            all.iter().all(|w| w.state == WithdrawalState::Committed).then_some(all)
        })
        .await;
        assert_eq!(committed.iter().map(|w| w.proof.to).collect::<Vec<_>>(), receivers);
        assert!(committed.iter().all(|w| w.proof.amount == each && !w.proof.claimable));
        let early = said(&world, &["claim", &hash], &[key, at]).await;
        assert_eq!(early.code, Some(1), "{early:?}");
        assert!(early.err.contains("waits for its batch to be verified on L1"), "{early:?}");

        // Verified: the same over HTTP.
        let prover = world.prover();
        let claimable = until("the verification of the batch", async || {
            let all = proofs(admin, transaction).await.ok()?;
            all.iter().all(|w| w.state == WithdrawalState::Claimable).then_some(all)
        })
        .await;
        let answer = http(admin, "GET", &format!("/withdrawals/{transaction}")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(serde_json::from_str::<Vec<TransactionWithdrawal>>(&answer.body).unwrap(), claimable);

        // One is claimed by one account, the rest by another one; a third run finds nothing left to claim.
        let l1 = client(&world.l1_url());
        let bridge = world.deployment().bridge;
        let before = l1.balance(bridge).await.unwrap();
        let stranger = world.user_l1().await;
        ensemble::bridge::claim(&stranger, bridge, &claimable[1].proof, LIMIT).await.unwrap();
        let states: Vec<_> = proofs(admin, transaction).await.unwrap().iter().map(|w| w.state).collect();
        assert_eq!(
            states,
            [WithdrawalState::Claimable, WithdrawalState::Claimed, WithdrawalState::Claimable]
        );
        let first = said(&world, &["claim", &hash], &[key, at]).await;
        assert_eq!(first.code, Some(0), "{first:?}");
        assert_eq!(first.out.matches(" paid to ").count(), 2, "{first:?}");
        assert_eq!(first.out.matches(" was paid before to ").count(), 1, "{first:?}");
        let user_key = ("ENSEMBLE_PRIVATE_KEY", USER.private_key);
        let again = said(&world, &["claim", "--tx", &hash], &[user_key, at]).await;
        assert_eq!(again.code, Some(0), "{again:?}");
        assert_eq!(again.out.matches(" was paid before to ").count(), 3, "{again:?}");
        assert!(!again.out.contains("L1 tx"), "nothing is sent: {again:?}");
        for receiver in &receivers {
            assert_eq!(l1.balance(*receiver).await.unwrap(), each, "paid once");
        }
        assert_eq!(before - l1.balance(bridge).await.unwrap(), each * U256::from(3));
        let nobody = said(&world, &["claim", &B256::repeat_byte(7).to_string()], &[key, at]).await;
        assert_eq!(nobody.code, Some(1), "{nobody:?}");
        assert!(nobody.err.contains("check the hash"), "{nobody:?}");

        // All of it by commands: the claim is started at once, and waits.
        let (fourth, user_key) = (address("four"), hex::encode(keccak256("user")));
        let withdraw = ["withdraw", "--amount", "0.1ether", "--to", &fourth.to_string()];
        let withdrawn = said(&world, &withdraw, &[("ENSEMBLE_PRIVATE_KEY", &user_key)]).await;
        assert_eq!(withdrawn.code, Some(0), "{withdrawn:?}");
        let hash = withdrawn.out.lines().find_map(|line| line.strip_prefix("L2 tx ")).unwrap();
        let claimed = said(&world, &["claim", hash, "--wait"], &[key, at]).await;
        assert_eq!(claimed.code, Some(0), "{claimed:?}");
        assert_eq!(l1.balance(fourth).await.unwrap(), ether(100), "{claimed:?}");

        server.stop().await;
        world.stop(&sequencer).await;
        prover.stop().await.unwrap();
    });
}

/// SEQ-INV-11: a call that makes no sense gets the error that JSON-RPC has for it, and a large one is not read.
#[test]
fn calls_that_make_no_sense_are_refused() {
    run(async {
        let world = World::start(|c| c.prover_server.dev_mode = true).await;
        let sequencer = world.sequencer().await;
        let server = AdminServer::start(sequencer.clone(), local(0)).unwrap();
        let admin = server.address();
        let post = async |body: &str| http_with(admin, "POST", "/rpc", body).await;
        let code = |answer: &Value| answer["error"]["code"].as_i64().unwrap();

        for (body, expected) in [
            ("", -32700),
            ("{", -32700),
            ("[{]", -32700),
            ("7", -32600),
            ("{}", -32600),
            ("[]", -32600),
            (r#"{"jsonrpc":"1.0","id":1,"method":"ensemble_getWithdrawalProofs","params":[]}"#, -32600),
            (r#"{"jsonrpc":"2.0","id":1,"method":"ensemble_nothing","params":[]}"#, -32601),
            (r#"{"jsonrpc":"2.0","id":1,"method":"ensemble_getWithdrawalProofs"}"#, -32602),
            (r#"{"jsonrpc":"2.0","id":1,"method":"ensemble_getWithdrawalProofs","params":[]}"#, -32602),
            (r#"{"jsonrpc":"2.0","id":1,"method":"ensemble_getWithdrawalProofs","params":["0x12"]}"#, -32602),
            (r#"{"jsonrpc":"2.0","id":1,"method":"ensemble_getWithdrawalProofs","params":{"a":1}}"#, -32602),
        ] {
            let answer = post(body).await;
            assert_eq!((answer.status, code(&answer.json())), (200, expected), "{body}: {answer:?}");
        }
        let unknown = proofs(admin, B256::repeat_byte(7)).await.unwrap_err();
        assert_eq!((&unknown["code"], &unknown["data"]["reason"]), (&json!(-32010), &json!("not_mined")));

        // A list has one answer for each call that has an id, in order.
        let call = |id: Option<u64>| {
            let mut call =
                json!({ "jsonrpc": "2.0", "method": GET_WITHDRAWAL_PROOFS, "params": [B256::ZERO] });
            if let Some(id) = id {
                call["id"] = json!(id);
            }
            call
        };
        let list = json!([call(Some(5)), call(None), 3, call(Some(6))]).to_string();
        let answers = post(&list).await.json();
        let answers = answers.as_array().unwrap();
        assert_eq!(
            answers.iter().map(|a| a["id"].clone()).collect::<Vec<_>>(),
            [json!(5), Value::Null, json!(6)]
        );
        assert_eq!(answers.iter().map(code).collect::<Vec<_>>(), [-32010, -32600, -32010]);
        let silent = post(&call(None).to_string()).await;
        assert_eq!((silent.status, silent.body.as_str()), (204, ""));
        let many: Vec<Value> = (0..=MAX_CALLS as u64).map(|id| call(Some(id))).collect();
        assert_eq!(code(&post(&json!(many).to_string()).await.json()), -32600);
        assert_eq!(post(&" ".repeat(MAX_REQUEST + 1)).await.status, 413);

        for (path, status, says) in [
            (format!("/withdrawals/{}", B256::repeat_byte(7)), 404, "not_mined"),
            ("/withdrawals/0x12".to_owned(), 400, "64 hex digits"),
            ("/withdrawals/7".to_owned(), 400, "64 hex digits"),
        ] {
            let answer = http(admin, "GET", &path).await;
            assert_eq!(answer.status, status, "{path}: {answer:?}");
            assert!(answer.body.contains(says), "{path}: {answer:?}");
        }
        assert_eq!(http(admin, "GET", "/rpc").await.status, 404);

        server.stop().await;
        world.stop(&sequencer).await;
    });
}
