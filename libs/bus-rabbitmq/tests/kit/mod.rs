//! A bus over a real broker, and what is behind it.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bus::Bus;
use bus::contract::Rig;
use bus_rabbitmq::{DEAD, RabbitMqBus, RabbitMqOptions};
use runtime::SystemClock;
use runtime::testing::open_store;
use store::Store;
use tempfile::TempDir;
use tests::{RabbitMq, Vhost};

pub(crate) struct Behind {
    rabbitmq: &'static RabbitMq,
    pub(crate) vhost: Vhost,
    pub(crate) store: Arc<Store>,
    _folder: TempDir,
}

impl Behind {
    pub(crate) async fn new(rabbitmq: &'static RabbitMq, vhost: Vhost) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("outbox.db");
        Self {
            rabbitmq,
            vhost,
            store: open_store(&path, Arc::new(SystemClock)).await.unwrap(),
            _folder: folder,
        }
    }

    pub(crate) fn bus(&self, url: &str, root_certificate_file: Option<PathBuf>) -> Arc<dyn Bus> {
        bus(self.store.clone(), url, root_certificate_file)
    }
}

pub(crate) fn bus(store: Arc<Store>, url: &str, root_certificate_file: Option<PathBuf>) -> Arc<dyn Bus> {
    let options =
        RabbitMqOptions { url: url.to_owned(), root_certificate_file, name: "test".to_owned(), relay: true };
    Arc::new(RabbitMqBus::new(options, store, Arc::new(SystemClock)).unwrap())
}

#[async_trait]
impl Rig for Behind {
    async fn counts(&self) -> (u64, u64) {
        let (unpublished, buried) = self.store.message_counts().await.unwrap();
        assert_eq!(buried, 0, "the outbox buries nothing");
        let (mut waiting, mut dead) = (unpublished, 0);
        for (queue, messages) in self.rabbitmq.queues(&self.vhost).await {
            if queue == DEAD {
                dead += messages;
            } else {
                waiting += messages;
            }
        }
        (waiting, dead)
    }

    async fn consumer_died(&self) {
        // Its channel went with it.
    }
}
