"""What TFMA lacks to judge a ranking model: metrics per request, and how far a change may be chance."""
