//! Answers HTTP-01 challenges and nothing else.
