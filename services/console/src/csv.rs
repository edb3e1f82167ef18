//! CSV by RFC 4180, safe to open: a cell that a spreadsheet would read as a formula begins with an apostrophe.

use axum::response::{IntoResponse, Response};
use domain::spreadsheet_cell;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};

use crate::problem::Problem;

/// Lines of a file.
pub(crate) struct Csv(csv::Writer<Vec<u8>>);

impl Csv {
    pub(crate) fn new() -> Self {
        let mut builder = csv::WriterBuilder::new();
        builder.terminator(csv::Terminator::CRLF);
        Self(builder.from_writer(Vec::new()))
    }

    pub(crate) fn line<const CELLS: usize>(&mut self, cells: [&str; CELLS]) -> Result<(), csv::Error> {
        self.0.write_record(cells.map(|cell| spreadsheet_cell(cell).into_owned()))
    }

    pub(crate) fn bytes(self) -> Result<Vec<u8>, csv::Error> {
        self.0.into_inner().map_err(|error| error.into_error().into())
    }
}

/// An answer that a browser saves under that name.
pub(crate) fn attachment(name: &str, body: axum::body::Body) -> Response {
    let headers = [
        (CONTENT_TYPE, "text/csv; charset=utf-8; header=present".to_owned()),
        (CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")),
    ];
    (headers, body).into_response()
}

impl From<csv::Error> for Problem {
    fn from(error: csv::Error) -> Self {
        tracing::error!(error = &error as &dyn std::error::Error, "CSV not written");
        Self::new(
            http::StatusCode::INTERNAL_SERVER_ERROR,
            "INTERNAL",
            "Trouble on our side. Try again in a moment.",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_and_never_a_formula() {
        let mut csv = Csv::new();
        csv.line(["plain", "a,b", "say \"hi\"", "two\r\nlines", ""]).unwrap();
        csv.line(["=1+1", "+1", "-1", "@SUM(A1)", "\tx"]).unwrap();
        csv.line(["\rx", "a=b", "", "", ""]).unwrap();
        let text = String::from_utf8(csv.bytes().unwrap()).unwrap();
        assert_eq!(
            text,
            "plain,\"a,b\",\"say \"\"hi\"\"\",\"two\r\nlines\",\r\n\
             '=1+1,'+1,'-1,'@SUM(A1),'\tx\r\n\
             \"'\rx\",a=b,,,\r\n"
        );
    }
}
