"""What joins the store and identity in one transaction: used by the routes and by the command line."""
