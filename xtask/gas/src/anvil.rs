//! An anvil process of one's own.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use crate::GasError;

/// A running anvil on a free port, killed when this is dropped.
#[derive(Debug)]
pub struct Anvil {
    child: Child,
    url: String,
}

/// Time of anvil's first block, Unix seconds. Far from any byte that is zero, see [`crate::measure()`].
pub(crate) const FIRST_TIMESTAMP: u64 = 0x7a11_1111;

impl Anvil {
    /// Starts the program at `path` (the binary itself: killing npm's wrapper would leave it running) on a port
    /// that the system chooses, with the rules of Osaka and its gas cap per transaction (EIP-7825).
    ///
    /// # Errors
    /// [`GasError::AnvilStart`], [`GasError::AnvilSilent`] after 60 seconds.
    pub fn start(path: &Path) -> Result<Self, GasError> {
        let failed = |source| GasError::AnvilStart { path: path.to_path_buf(), source };
        let mut child = Command::new(path)
            .args(["--port", "0", "--hardfork", "osaka", "--enable-tx-gas-limit"])
            .args(["--timestamp", &FIRST_TIMESTAMP.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(failed)?;
        let stdout = child.stdout.take();
        let mut anvil = Self { child, url: String::new() };
        let (sender, listening) = mpsc::sync_channel(1);
        // Reads on after the address was found: a full pipe would stop anvil.
        std::thread::spawn(move || {
            for line in stdout.into_iter().flat_map(|pipe| BufReader::new(pipe).lines()).map_while(Result::ok)
            {
                if let Some(address) = line.strip_prefix("Listening on ") {
                    sender.try_send(address.trim().to_owned()).ok();
                }
            }
        });
        match listening.recv_timeout(Duration::from_secs(60)) {
            Ok(address) => anvil.url = format!("http://{address}"),
            Err(_) => return Err(GasError::AnvilSilent),
        }
        Ok(anvil)
    }

    /// Its JSON-RPC endpoint.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Anvil {
    fn drop(&mut self) {
        // Fails only for a process that has ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
