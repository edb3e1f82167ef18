//! The Bus inside one process: the messages table is the queue.
