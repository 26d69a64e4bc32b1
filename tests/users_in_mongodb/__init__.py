"""A site whose users are in MongoDB, through django-mongodb-backend; their keys are of ``ObjectId``."""
