//! What hostile or careless clients, and a disk that forgets, do to the store of a server, and what they do not.

mod claims;
mod futures;
mod impostors;
mod rot;
mod scene;
