//! Labels of domains. The customer reference is a column of the domain's own row, because it changes together with
//! it.

use std::collections::BTreeMap;

use domain::DomainName;

use crate::record::columns;
use crate::{Result, Tx};

/// A row of `domain_labels`.
struct Label {
    name: DomainName,
    key: String,
    value: String,
}

columns!(Label in "domain_labels": name, key, value);

impl Tx {
    /// Returns the labels of a name.
    pub async fn labels(&mut self, name: &DomainName) -> Result<BTreeMap<String, String>> {
        let mut db = self.db().await?;
        let labels = db.select::<Label>("labels", "WHERE name = $1").bind(name).all::<Label>().await?;
        Ok(labels.into_iter().map(|label| (label.key, label.value)).collect())
    }

    /// Replaces the labels of a name.
    pub async fn set_labels(&mut self, name: &DomainName, labels: &BTreeMap<String, String>) -> Result<()> {
        let text = "DELETE FROM domain_labels WHERE name = $1";
        self.write("delete_labels", name.as_str(), text).await?.bind(name).keep();
        self.add_labels(name, labels).await
    }

    /// Stores labels of a name that has none.
    pub async fn add_labels(&mut self, name: &DomainName, labels: &BTreeMap<String, String>) -> Result<()> {
        let label = |(key, value): (&String, &String)| Label {
            name: name.clone(),
            key: key.clone(),
            value: value.clone(),
        };
        let labels: Vec<Label> = labels.iter().map(label).collect();
        self.insert("insert_labels", name.as_str(), &labels, &[], "").await
    }
}
