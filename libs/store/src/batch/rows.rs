//! The kept writes of a group of steps on PostgreSQL: one statement per text, with a row for each step that has it.
//!
//! A text with the word `{rows}` is made for any number of rows: its values become columns of a table `v`, which
//! `unnest` builds from one array per value. Texts that insert records contain `unnest` already. Any other text is sent
//! by itself.
//!
//! Statements are sent in the order in which their texts were first kept. A step whose own writes would be sent in
//! another order than it kept them, or that writes twice to one place, starts with the next batch ([`Rows::takes`]).

use std::any::Any;

use sqlx::error::BoxDynError;
use sqlx::postgres::PgArguments;
use sqlx::{Arguments as _, AssertSqlSafe, PgConnection};

use super::Place;
use crate::sql::{failed, within};
use crate::value::PostgresValue;
use crate::{Result, StoreError};

/// The word that marks the place of the table of rows in a text.
pub(crate) const MARK: &str = "{rows}";

/// The values of one parameter, one per row.
pub(crate) trait Column: Any + Send + Sync {
    /// PostgreSQL's name of the type of one value.
    fn postgres_type(&self) -> &'static str;
    fn rows(&self) -> usize;
    /// Appends the values of a column of the same type.
    fn append(&mut self, other: Box<dyn Column>);
    /// Adds the values as one array.
    fn bind(self: Box<Self>, arguments: &mut PgArguments) -> std::result::Result<(), BoxDynError>;
    /// Adds the only value.
    fn bind_only(self: Box<Self>, arguments: &mut PgArguments) -> std::result::Result<(), BoxDynError>;
}

struct Values<P> {
    postgres_type: &'static str,
    values: Vec<P>,
}

pub(crate) fn column<P: PostgresValue>(postgres_type: &'static str, values: Vec<P>) -> Box<dyn Column> {
    Box::new(Values { postgres_type, values })
}

impl<P: PostgresValue> Column for Values<P> {
    fn postgres_type(&self) -> &'static str {
        self.postgres_type
    }

    fn rows(&self) -> usize {
        self.values.len()
    }

    fn append(&mut self, other: Box<dyn Column>) {
        let other: Box<dyn Any> = other;
        if let Ok(other) = other.downcast::<Self>() {
            self.values.extend(other.values);
        }
    }

    fn bind(self: Box<Self>, arguments: &mut PgArguments) -> std::result::Result<(), BoxDynError> {
        arguments.add(self.values)
    }

    fn bind_only(self: Box<Self>, arguments: &mut PgArguments) -> std::result::Result<(), BoxDynError> {
        self.values.into_iter().try_for_each(|value| arguments.add(value))
    }
}

/// The kept writes of a group.
#[derive(Default)]
pub(super) struct Rows {
    writes: Vec<Write>,
    /// The places written by the present step, and the number of its last write.
    places: Vec<Place>,
    last: usize,
}

struct Write {
    operation: &'static str,
    text: String,
    columns: Vec<Box<dyn Column>>,
    /// The text takes any number of rows.
    is_for_rows: bool,
    /// Each row must change exactly one row.
    is_conditional: bool,
}

impl Rows {
    /// The next writes are those of another step.
    pub(super) fn next_step(&mut self) {
        self.places.clear();
        self.last = 0;
    }

    pub(super) fn takes(&self, operation: &'static str, place: &Place) -> bool {
        let kept = self.writes.iter().position(|write| write.operation == operation);
        kept.is_none_or(|kept| kept >= self.last)
            && !self.places.iter().any(|written| written.overlaps(place))
    }

    pub(super) fn keep(
        &mut self,
        operation: &'static str,
        text: String,
        place: Place,
        columns: Vec<Box<dyn Column>>,
        is_conditional: bool,
    ) {
        self.places.push(place);
        let is_for_rows = text.contains(MARK) || text.contains("unnest(");
        let same = self.writes.iter().position(|write| is_for_rows && write.takes(&text, &columns));
        self.last = same.unwrap_or(self.writes.len());
        match same.and_then(|same| self.writes.get_mut(same)) {
            Some(write) => {
                for (column, more) in write.columns.iter_mut().zip(columns) {
                    column.append(more);
                }
            }
            None => self.writes.push(Write { operation, text, columns, is_for_rows, is_conditional }),
        }
    }

    /// Sends the writes, one statement after the other. [`StoreError::Conflict`] if a condition was not met; it does
    /// not say whose.
    pub(super) async fn send(&mut self, db: &mut PgConnection) -> Result<()> {
        let writes = std::mem::take(&mut self.writes);
        self.next_step();
        for write in writes {
            within(write.send(db)).await?;
        }
        Ok(())
    }
}

impl Write {
    /// Whether rows of that text, with values of these types, can be added.
    fn takes(&self, text: &str, columns: &[Box<dyn Column>]) -> bool {
        let types =
            |columns: &[Box<dyn Column>]| columns.iter().map(|one| (**one).type_id()).collect::<Vec<_>>();
        self.text == text && types(&self.columns) == types(columns)
    }

    async fn send(self, db: &mut PgConnection) -> Result<()> {
        let rows = self.columns.first().map_or(0, |column| column.rows());
        let operation = self.operation;
        let text = self.text();
        let mut arguments = PgArguments::default();
        for column in self.columns {
            let added =
                if self.is_for_rows { column.bind(&mut arguments) } else { column.bind_only(&mut arguments) };
            added.map_err(|source| StoreError::Database { operation, source })?;
        }
        let done = sqlx::query_with(AssertSqlSafe(text), arguments).execute(db).await;
        let changed = done.map_err(failed(operation))?.rows_affected();
        if self.is_conditional && changed != rows as u64 {
            return Err(StoreError::Conflict { operation });
        }
        Ok(())
    }

    /// The text with the table of rows in its place, and `v.pN` for each `$N`.
    fn text(&self) -> String {
        let Some((before, after)) = self.text.split_once(MARK) else {
            return self.text.clone();
        };
        let types = self.columns.iter().enumerate();
        let arrays =
            types.clone().map(|(index, column)| format!("${}::{}[]", index + 1, column.postgres_type()));
        let names = types.map(|(index, _)| format!("p{}", index + 1));
        let (arrays, names): (Vec<String>, Vec<String>) = (arrays.collect(), names.collect());
        // DELETE has the word USING where UPDATE has FROM.
        let from = if before.contains("DELETE FROM ") { "USING" } else { "FROM" };
        format!(
            "{}{from} unnest({}) AS v ({}){}",
            before.replace('$', "v.p"),
            arrays.join(", "),
            names.join(", "),
            after.replace('$', "v.p")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(values: &[i64]) -> Box<dyn Column> {
        column("bigint", values.to_vec())
    }

    fn kept(rows: &mut Rows, operation: &'static str, text: &str, place: &str, values: &[i64]) {
        let place = Place { table: "t".to_owned(), part: place.to_owned() };
        rows.keep(operation, text.to_owned(), place, vec![numbers(values), numbers(values)], true);
    }

    #[test]
    fn values_become_columns() {
        let mut rows = Rows::default();
        kept(&mut rows, "a", "UPDATE t SET x = $2 {rows} WHERE id = $1", "1", &[1]);
        rows.next_step();
        kept(&mut rows, "a", "UPDATE t SET x = $2 {rows} WHERE id = $1", "1", &[2]);
        kept(&mut rows, "b", "DELETE FROM t {rows} WHERE id = $1 AND x = $2", "2", &[3]);
        let texts: Vec<String> = rows.writes.iter().map(Write::text).collect();
        assert_eq!(
            texts,
            [
                "UPDATE t SET x = v.p2 FROM unnest($1::bigint[], $2::bigint[]) AS v (p1, p2) WHERE id = v.p1",
                "DELETE FROM t USING unnest($1::bigint[], $2::bigint[]) AS v (p1, p2) WHERE id = v.p1 AND x = v.p2"
            ]
        );
        assert_eq!(rows.writes[0].columns[0].rows(), 2);
    }

    /// A missing value would be NULL.
    #[test]
    fn values_of_another_type_are_another_statement() {
        let mut rows = Rows::default();
        let place = || Place { table: "t".to_owned(), part: String::new() };
        let text = "UPDATE t SET x = $1 {rows}".to_owned();
        rows.keep("a", text.clone(), place(), vec![numbers(&[1])], true);
        rows.next_step();
        rows.keep("a", text, place(), vec![column("bigint", vec![Some(2_i64)])], true);
        let values: Vec<usize> = rows.writes.iter().map(|write| write.columns[0].rows()).collect();
        assert_eq!(values, [1, 1]);
    }

    #[test]
    fn a_step_keeps_the_order_of_its_writes() {
        let mut rows = Rows::default();
        let place = |part: &str| Place { table: "t".to_owned(), part: part.to_owned() };
        kept(&mut rows, "a", "UPDATE a {rows}", "1", &[1]);
        kept(&mut rows, "b", "UPDATE b {rows}", "2", &[1]);
        assert!(!rows.takes("c", &place("2")), "the same place twice");
        rows.next_step();
        assert!(rows.takes("c", &place("2")), "the place of another step");
        kept(&mut rows, "b", "UPDATE b {rows}", "2", &[2]);
        assert!(!rows.takes("a", &place("1")), "it would be sent before its own first write");
    }
}
