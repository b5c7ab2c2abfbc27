mod database;
mod examples;
mod random;
mod scratch;
mod view;
