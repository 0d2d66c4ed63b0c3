//! The L2 from what anvil has.

use std::{net::SocketAddr, sync::Arc};

use alloy_primitives::{B256, Bytes};
use ensemble::rebuild::{
    BlobPlace, BlobSource, BlobSourceError, Blobs, Contracts, Rebuild, Report, Settings, UpTo,
};
use ensemble_batch::Blob;
use ensemble_l1::BlockTag;

use super::{World, address_of, client, http};

/// Blobs as anvil serves them: by the number of the execution block.
#[derive(Debug)]
struct AnvilBlobs(SocketAddr);

#[async_trait::async_trait]
impl BlobSource for AnvilBlobs {
    fn name(&self) -> String {
        "anvil".to_owned()
    }

    async fn blobs(&self, place: &BlobPlace, hashes: &[B256]) -> Result<Vec<Blob>, BlobSourceError> {
        let wanted: Vec<String> = hashes.iter().map(B256::to_string).collect();
        let path = format!("/eth/v1/beacon/blobs/{}?versioned_hashes={}", place.number, wanted.join(","));
        let answer = http(self.0, "GET", &path).await.json();
        let data: Vec<Bytes> =
            serde_json::from_value(answer["data"].clone()).map_err(|e| BlobSourceError(e.to_string()))?;
        data.iter().map(|bytes| Blob::from_slice(bytes).map_err(|e| BlobSourceError(e.to_string()))).collect()
    }
}

impl World {
    /// SEQ-INV-10: rebuilds the L2 in an empty node from what anvil and its blobs hold.
    pub(crate) async fn rebuild_from_anvil(&self) -> Report {
        self.rebuild_from(vec![Arc::new(AnvilBlobs(address_of(&self.l1_url())))]).await
    }

    /// The same with these blobs.
    pub(crate) async fn rebuild_from(&self, blobs: Vec<Arc<dyn BlobSource>>) -> Report {
        let (node, config) = self.empty_node("rebuilt").await;
        let l2 = client(&self.l2_url());
        let contracts = Contracts {
            proposer: self.deployment().proposer,
            l1_chain_id: self.deployment().l1_chain_id,
            l2_chain_id: l2.chain_id().await.unwrap(),
        };
        let settings = Settings { up_to: UpTo::Depth(0), ..Default::default() };
        let engine = ensemble::execution_client(&config).unwrap();
        let mut rebuild =
            Rebuild::new(client(&self.l1_url()), engine, Blobs::new(blobs), contracts, settings);
        let report = rebuild.run(|_| {}).await.unwrap();
        let head = report.position.block;
        let original = l2.block(BlockTag::Number(head.number)).await.unwrap().unwrap();
        assert_eq!(original.hash, head.hash, "SEQ-INV-10: the same chain");
        node.shutdown().await.unwrap();
        report
    }
}
