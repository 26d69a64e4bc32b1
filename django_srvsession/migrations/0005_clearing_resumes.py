"""Remember where the search for sessions of missing users had to stop."""

from django.db import migrations

import django_srvsession.models


class Migration(migrations.Migration):
    dependencies = [("srvsession", "0004_device_index")]

    operations = [
        migrations.AddField(
            model_name="clearingrun",
            name="resume_at",
            field=django_srvsession.models.ExactCharField(blank=True, default="", max_length=255),
        ),
    ]
