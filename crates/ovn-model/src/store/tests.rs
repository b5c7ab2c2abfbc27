mod database;
mod examples;
mod random;
mod view;
