//! TLS with certificates that are made for the test.

use std::path::PathBuf;

use ensemble_prover::{ClientTls, TlsIdentity, tls::acceptor};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use super::*;

/// A certificate authority and its files.
struct Authority {
    folder: tempfile::TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, "a test's authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { folder, issuer }
    }

    fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    fn identity(&self, name: &str) -> TlsIdentity {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        let file = |kind: &str| self.folder.path().join(format!("{name}.{kind}"));
        std::fs::write(file("pem"), cert.pem()).unwrap();
        std::fs::write(file("key"), key.serialize_pem()).unwrap();
        TlsIdentity { cert: file("pem"), key: file("key") }
    }

    fn client(&self, identity: Option<TlsIdentity>) -> ClientTls {
        ClientTls { ca: self.ca(), identity, server_name: None }
    }
}

/// The reason why a client gets no session; the first one that says `part`.
async fn turned_away(client: &mut Client, part: &str) -> String {
    loop {
        match next(&mut client.events).await {
            ClientEvent::Disconnected { reason, .. } if reason.contains(part) => return reason,
            ClientEvent::Disconnected { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

/// Mutual TLS: the right certificate is let in and gets work; no certificate, one of another authority, a server of
/// another authority or another name, and no TLS at all are refused in words that say what to do.
#[actix::test]
async fn only_certificates_of_the_authority_are_let_in() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let tls = acceptor(&ours.identity("127.0.0.1"), Some(&ours.ca())).unwrap();
    let serving = serve(ProverServerConfig { tls: Some(tls), ..config() }, true).await;
    let good = ours.client(Some(ours.identity("prover")));
    let client = serving.client_with("good", |c| c.tls = Some(good.clone()));
    let number = serving.batch().await;
    serving.proven([number]).await;

    let foreign = ours.client(Some(theirs.identity("stranger")));
    let cases = [
        ("no certificate", Some(ours.client(None)), "CertificateRequired"),
        ("a foreign certificate", Some(foreign), "alert"),
        ("a foreign server", Some(theirs.client(Some(ours.identity("p2")))), "tls_ca_path must hold the CA"),
        (
            "a server of another name",
            Some(ClientTls { server_name: Some("elsewhere.example".to_owned()), ..good.clone() }),
            "tls_server_name",
        ),
        ("no TLS", None, "set prover_client.tls_ca_path"),
    ];
    for (what, tls, part) in cases {
        let mut client = serving.client_with(what, |c| c.tls = tls);
        let reason = turned_away(&mut client, part).await;
        assert!(!reason.contains("BEGIN"), "SEQ-INV-12: {what}: {reason}");
        assert_eq!(client.stop().await.sessions, 0, "{what}");
    }
    let number = serving.batch().await;
    serving.proven([number]).await;
    let report = client.stop().await;
    assert_eq!(
        (report.sessions, report.accepted + u64::from(report.unfinished.is_some())),
        (1, 2),
        "{report:?}"
    );
    until("all have ended", || async { serving.sessions().await == 0 }).await;
    assert_eq!(serving.status(SERVER).restarts, 0);
    assert!(serving.system.shutdown().await.is_clean());
}

/// TLS without certificates of the provers, who show the token; a full server refuses over TLS, too.
#[actix::test]
async fn tls_with_a_token() {
    let ours = Authority::new();
    let tls = acceptor(&ours.identity("127.0.0.1"), None).unwrap();
    let config = ProverServerConfig { tls: Some(tls), max_sessions: 1, ..config() };
    let serving = serve(config, true).await;
    let mut first = serving.client_with("first", |c| c.tls = Some(ours.client(None)));
    first.wait_for(|e| matches!(e, ClientEvent::Connected { .. })).await;
    let mut second = serving.client_with("second", |c| c.tls = Some(ours.client(None)));
    turned_away(&mut second, "every session is taken").await;
    first.stop().await;
    second.wait_for(|e| matches!(e, ClientEvent::Connected { .. })).await;
    second.stop().await;
    assert!(serving.system.shutdown().await.is_clean());
}

/// A client with TLS and a server without it.
#[actix::test]
async fn a_server_without_tls_says_so() {
    let ours = Authority::new();
    let serving = serve(config(), true).await;
    let mut client = serving.client_with("tls", |c| c.tls = Some(ours.client(None)));
    turned_away(&mut client, "no prover_client.tls_ca_path here").await;
    client.stop().await;
    assert!(serving.system.shutdown().await.is_clean());
}

/// SEQ-INV-11: sockets that never shake hands take no more places than there are, and keep no prover out.
#[actix::test]
async fn silent_handshakes_keep_nobody_out() {
    let ours = Authority::new();
    let tls = acceptor(&ours.identity("127.0.0.1"), Some(&ours.ca())).unwrap();
    let config = ProverServerConfig { tls: Some(tls), max_sessions: 8, ..config() };
    let serving = serve(config, true).await;
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(serving.connect().await);
    }
    let good = ours.client(Some(ours.identity("prover")));
    let client = serving.client_with("good", |c| c.tls = Some(good));
    let number = serving.batch().await;
    serving.proven([number]).await;
    assert!(serving.sessions().await <= 8);
    client.stop().await;
    drop(silent);
    assert!(serving.system.shutdown().await.is_clean());
}

/// Files that are missing, empty or something else: the key of the configuration and the path are named.
#[test]
fn bad_files_are_named() {
    let ours = Authority::new();
    let good = ours.identity("a");
    let other_key = ours.identity("b").key;
    let junk = ours.folder.path().join("junk.pem");
    std::fs::write(&junk, "no certificate").unwrap();
    let nowhere = ours.folder.path().join("nowhere.pem");
    let server = |cert: &PathBuf, key: &PathBuf, ca: Option<&PathBuf>| {
        let identity = TlsIdentity { cert: cert.clone(), key: key.clone() };
        acceptor(&identity, ca.map(PathBuf::as_path)).err().map(|e| e.key)
    };
    assert_eq!(server(&good.cert, &good.key, None), None);
    assert_eq!(server(&nowhere, &good.key, None), Some("prover_server.tls_cert_path"));
    assert_eq!(server(&junk, &good.key, None), Some("prover_server.tls_cert_path"));
    assert_eq!(server(&good.cert, &nowhere, None), Some("prover_server.tls_key_path"));
    assert_eq!(server(&good.cert, &junk, None), Some("prover_server.tls_key_path"));
    assert_eq!(server(&good.cert, &other_key, None), Some("prover_server.tls_cert_path"), "another's key");
    assert_eq!(server(&good.cert, &good.key, Some(&junk)), Some("prover_server.tls_client_ca_path"));
    for (tls, key) in [
        (ClientTls { ca: nowhere, identity: None, server_name: None }, "prover_client.tls_ca_path"),
        (
            ours.client(Some(TlsIdentity { cert: junk.clone(), key: good.key.clone() })),
            "prover_client.tls_cert_path",
        ),
        (ours.client(Some(TlsIdentity { cert: good.cert, key: junk })), "prover_client.tls_key_path"),
    ] {
        let error = ensemble_prover::tls::connector(&tls).err().unwrap();
        assert_eq!(error.key, key, "{error}");
        assert!(error.to_string().contains(&ours.folder.path().display().to_string()), "{error}");
    }
}
